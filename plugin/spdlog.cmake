# npu_ipc_spdlog: spdlog and the {fmt} that it formats with, compiled here. The distribution has
# them as shared libraries alone, which would bring libstdc++ into daemons that otherwise need libc
# and libm.
find_package(spdlog REQUIRED)
get_target_property(npu_ipc_spdlog_includes spdlog::spdlog INTERFACE_INCLUDE_DIRECTORIES)

add_library(npu_ipc_spdlog STATIC config/spdlog.cc)
target_compile_options(npu_ipc_spdlog PRIVATE ${NPU_IPC_SIZE_OPTIONS})
target_include_directories(npu_ipc_spdlog SYSTEM PUBLIC ${npu_ipc_spdlog_includes})
target_compile_definitions(npu_ipc_spdlog PUBLIC SPDLOG_COMPILED_LIB SPDLOG_FMT_EXTERNAL)
target_link_libraries(npu_ipc_spdlog PUBLIC Threads::Threads)
