# Holds the file of libnpu_ipc.so, or of libnpu_ipc_preload.so, to what a library in other people's
# processes may be:
#   cmake -DLIBRARY=... -DEXPORTED=... -DNM=... -DREADELF=... -DOBJDUMP=... -DSTRIP=...
#         -DMAX_BYTES=... -DSONAME=... -P this
# It exports the checked-in list, needs libc alone and no newer glibc than 2.17, does nothing when
# it is loaded, binds at once, cannot be unloaded, and is small (MAX_BYTES, stripped; 0: not looked
# at, as in a debug build).

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

if(MAX_BYTES GREATER 0)
  run(ignored ${STRIP} -o ${STRIPPED} ${LIBRARY})
  file(SIZE ${STRIPPED} bytes)
  if(bytes GREATER MAX_BYTES)
    message(FATAL_ERROR "${bytes} bytes stripped, more than ${MAX_BYTES}")
  endif()
endif()
