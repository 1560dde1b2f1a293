# Installs the library into a directory of its own and builds a C program against it, by its CMake
# package and by its pkg-config file:
#   cmake -DBUILD=<build tree> -DCONSUMER=<source> -DWORK=<directory> -DC_COMPILER=... -DLIBDIR=lib
#         [-DTOOLCHAIN=<file> -DEMULATOR=<command that runs what is built>] -P this

function(run)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE output
    RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN}:\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix --component npu_ipc)
run(${CMAKE_COMMAND} -S ${CONSUMER} -B ${WORK}/build -DCMAKE_PREFIX_PATH=${WORK}/prefix
  -DCMAKE_C_COMPILER=${C_COMPILER} -DCMAKE_TOOLCHAIN_FILE=${TOOLCHAIN}
  -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=BOTH)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${EMULATOR} ${WORK}/build/consumer)

set(ENV{PKG_CONFIG_PATH} ${WORK}/prefix/${LIBDIR}/pkgconfig)
find_program(PKG_CONFIG pkg-config REQUIRED)
execute_process(COMMAND ${PKG_CONFIG} --define-variable=prefix=${WORK}/prefix
                --cflags --libs npu_ipc
                OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags)
run(${C_COMPILER} ${CONSUMER}/main.c -o ${WORK}/consumer ${flags}
  -Wl,-rpath,${WORK}/prefix/${LIBDIR})
run(${EMULATOR} ${WORK}/consumer)
file(REMOVE_RECURSE ${WORK})
