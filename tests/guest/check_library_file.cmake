# Holds the file of an injected library to what a library in other people's processes may be:
#   cmake -DLIBRARY=... -DSONAME=... -DEXPORTED=... -DNM=... -DREADELF=... -DOBJDUMP=...
#         -DMAX_BYTES=... -DIMPORTED=... -P this
# It exports one checked-in list and imports nothing outside another, needs libc alone and no newer
# glibc than 2.17, does nothing when it is loaded, binds at once, cannot be unloaded, has no
# thread-local storage, and is small (MAX_BYTES; 0: not looked at, as in a debug build).

function(run result)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
  set(${result} "${output}" PARENT_SCOPE)
endfunction()

run(names ${NM} -D --defined-only ${LIBRARY})
string(REGEX MATCHALL "[0-9a-f]+ T [^\n]+" exported "${names}")
list(TRANSFORM exported REPLACE "^[0-9a-f]+ T " "")
list(SORT exported)
string(REGEX MATCHALL "[0-9a-f]+ [^T] [^\n]+" others "${names}")
list(FILTER others EXCLUDE REGEX " A NPU_IPC_")
file(STRINGS ${EXPORTED} expected)
if(NOT exported STREQUAL expected OR others)
  message(FATAL_ERROR "exported: ${exported}; ${others}\nexpected: ${expected}")
endif()

# What is not imported is not called: no exit, abort, handler, locale, environment, printing.
run(names ${NM} -D --undefined-only ${LIBRARY})
string(REGEX MATCHALL "[wU] [A-Za-z0-9_]+" imported "${names}")
list(TRANSFORM imported REPLACE "^[wU] " "")
file(STRINGS ${IMPORTED} allowed REGEX "^[^#]")
list(REMOVE_ITEM imported ${allowed})
if(NOT names OR imported)
  message(FATAL_ERROR "imports what is not in ${IMPORTED}: ${imported}")
endif()

run(dynamic ${READELF} -d ${LIBRARY})
string(REGEX MATCHALL "NEEDED[^\n]*\\[[^\n]*\\]" needed "${dynamic}")
if(NOT needed MATCHES "^NEEDED[^\n]*\\[libc\\.so\\.6\\]$")
  message(FATAL_ERROR "needs more than libc: ${needed}")
endif()
foreach(flag "SONAME[^\n]*\\[${SONAME}\\]" "BIND_NOW" "NODELETE")
  if(NOT dynamic MATCHES "${flag}")
    message(FATAL_ERROR "lacks ${flag}:\n${dynamic}")
  endif()
endforeach()
# crtbeginS.o's frame_dummy is the one entry that the C driver adds.
if(NOT dynamic MATCHES "INIT_ARRAYSZ\\)[ \t]+8 ")
  message(FATAL_ERROR "something runs when the library is loaded:\n${dynamic}")
endif()

run(symbols ${OBJDUMP} -T ${LIBRARY})
string(REGEX MATCHALL "GLIBC_[0-9.]+" versions "${symbols}")
list(REMOVE_DUPLICATES versions)
foreach(version ${versions})
  string(REPLACE "GLIBC_" "" version "${version}")
  if(version VERSION_GREATER 2.17)
    message(FATAL_ERROR "needs glibc ${version}:\n${symbols}")
  endif()
endforeach()

run(segments ${READELF} -lW ${LIBRARY})
if(NOT segments MATCHES "GNU_RELRO" OR segments MATCHES " TLS " OR segments MATCHES " RWE ")
  message(FATAL_ERROR "no read-only relocations, thread-local storage, or code to write to:\n"
    "${segments}")
endif()

# What is loaded of the file: on aarch64, whose pages may be of 64 KiB, there is padding in between.
if(MAX_BYTES GREATER 0)
  string(REGEX MATCHALL "LOAD +0x[0-9a-f]+ 0x[0-9a-f]+ 0x[0-9a-f]+ 0x[0-9a-f]+" loads "${segments}")
  set(bytes 0)
  foreach(load IN LISTS loads)
    string(REGEX REPLACE ".* " "" file_bytes ${load})
    math(EXPR bytes "${bytes} + ${file_bytes}")
  endforeach()
  if(bytes EQUAL 0 OR bytes GREATER MAX_BYTES)
    message(FATAL_ERROR "${bytes} bytes are loaded, more than ${MAX_BYTES}")
  endif()
endif()
