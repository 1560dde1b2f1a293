# npu_ipc_grpc: gRPC, linked statically from the distribution's own archives (but see
# ThreadSanitizer below).
#
# The daemons speak gRPC over local sockets alone, so the unsecure flavour does, without TLS. One
# link group, as the archives refer to each other in circles. Linked so, a daemon starts in half the
# time and memory that the 50 shared libraries take. The lite runtime of protobuf is enough: our
# .proto files say `optimize_for = LITE_RUNTIME`.
set(NPU_IPC_GRPC_ARCHIVES
  grpc++_unsecure grpc_unsecure gpr address_sorting upb re2 cares z protobuf-lite
  absl_bad_optional_access absl_bad_variant_access absl_base absl_city absl_cord absl_cord_internal
  absl_cordz_functions absl_cordz_handle absl_cordz_info absl_debugging_internal
  absl_demangle_internal absl_exponential_biased absl_graphcycles_internal absl_hash absl_int128
  absl_low_level_hash absl_malloc_internal absl_random_internal_platform
  absl_random_internal_pool_urbg absl_random_internal_randen absl_random_internal_randen_hwaes
  absl_random_internal_randen_hwaes_impl absl_random_internal_randen_slow
  absl_random_internal_seed_material absl_random_seed_gen_exception absl_raw_hash_set
  absl_raw_logging_internal absl_spinlock_wait absl_stacktrace absl_status absl_statusor
  absl_str_format_internal absl_strerror absl_strings absl_strings_internal absl_symbolize
  absl_synchronization absl_throw_delegate absl_time absl_time_zone)

add_library(npu_ipc_grpc INTERFACE)
if(NPU_IPC_SANITIZE MATCHES "thread")
  # ThreadSanitizer leaves modules alone that are not instrumented
  # (ignore_noninstrumented_modules=1), and a static gRPC would be part of ours. So it needs no
  # suppression, and races of our own are reported wherever they are.
  target_link_libraries(npu_ipc_grpc INTERFACE grpc++_unsecure grpc_unsecure gpr protobuf
                                               absl_raw_hash_set absl_synchronization
                                               absl_throw_delegate Threads::Threads)
else()
  set(npu_ipc_grpc_files)
  foreach(archive IN LISTS NPU_IPC_GRPC_ARCHIVES)
    find_library(NPU_IPC_ARCHIVE_${archive} lib${archive}.a REQUIRED)
    mark_as_advanced(NPU_IPC_ARCHIVE_${archive})
    list(APPEND npu_ipc_grpc_files ${NPU_IPC_ARCHIVE_${archive}})
  endforeach()
  list(JOIN npu_ipc_grpc_files "," npu_ipc_grpc_group)
  target_link_libraries(npu_ipc_grpc INTERFACE "$<LINK_GROUP:RESCAN,${npu_ipc_grpc_group}>"
                                               Threads::Threads ${CMAKE_DL_LIBS})
endif()

# npu_ipc_grpc_sources(<file>...)
# Names the sources of this folder that include gRPC's headers. What those headers inline belongs to
# the library that is not instrumented, so ThreadSanitizer must not see half of it; keep such files
# to the adapter, and state and logic out.
function(npu_ipc_grpc_sources)
  if(NPU_IPC_SANITIZE MATCHES "thread")
    set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "-fno-sanitize=thread;-O2")
  endif()
endfunction()

find_program(NPU_IPC_PROTOC protoc REQUIRED)
find_program(NPU_IPC_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

# npu_ipc_add_proto(<name> <file.proto>)
# A library of the messages and services of one .proto file. Its headers are included from the root
# of the tree, as `plugin/.../file.grpc.pb.h`; it is generated code, so it does not get our
# warnings.
function(npu_ipc_add_proto name proto)
  set(root ${CMAKE_BINARY_DIR}/generated)
  file(RELATIVE_PATH relative ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${proto})
  string(REGEX REPLACE "\\.proto$" "" stem ${relative})
  set(outputs ${root}/${stem}.pb.cc ${root}/${stem}.pb.h ${root}/${stem}.grpc.pb.cc
    ${root}/${stem}.grpc.pb.h)
  file(MAKE_DIRECTORY ${root})
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND ${NPU_IPC_PROTOC} --proto_path=${PROJECT_SOURCE_DIR} --cpp_out=${root}
            --grpc_out=${root} --plugin=protoc-gen-grpc=${NPU_IPC_GRPC_CPP_PLUGIN}
            ${PROJECT_SOURCE_DIR}/${relative}
    DEPENDS ${proto}
    VERBATIM)
  add_library(${name} STATIC ${outputs})
  npu_ipc_grpc_sources(${outputs})
  target_include_directories(${name} SYSTEM PUBLIC ${root})
  target_link_libraries(${name} PUBLIC npu_ipc_grpc)
endfunction()
