#include "plugin/injection/injected_library.h"

#include <filesystem>
#include <system_error>

#include "hal/base/posix_error.h"
#include "plugin/config/checks.h"
#include "plugin/config/options.h"
#include "plugin/injection/host_files.h"
#include "plugin/injection/library_store.h"

namespace npu_ipc::injection {
namespace {

Result<std::string> Source(const InjectedLibrary& library) {
  if (!library.source.empty()) return library.source;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return PosixError(error.value(), "readlink /proc/self/exe");
  return (program.parent_path().parent_path() / "lib").string();
}

}  // namespace

void AddLibraryOptions(config::Options& options, InjectedLibrary* library) {
  options.Add("injection.librarySource",
              "the directory of libnpu_ipc.so; default: ../lib, seen from the program",
              &library->source);
  options.Add("injection.libraryStore",
              "the host's directory that the library is kept in for containers", &library->store);
  options.Add("injection.socketDirectory", "the host's directory of the broker's socket",
              &library->socket_directory);
}

Status CheckLibrary(const InjectedLibrary& library) {
  return config::FirstFailure({
      config::CheckAbsolutePath("injection.libraryStore", library.store),
      config::CheckAbsolutePath("injection.socketDirectory", library.socket_directory),
  });
}

Result<ContainerChanges> PrepareLibrary(const InjectedLibrary& library) {
  const Result<std::string> source = Source(library);
  if (!source.ok()) return source.status();
  const Result<std::string> installed = InstallLibrary(*source, library.store);
  if (!installed.ok()) return installed.status();
  std::error_code error;
  std::filesystem::create_directories(library.socket_directory, error);
  if (error) {
    return PosixError(error.value(), "make injection.socketDirectory " + library.socket_directory);
  }
  return LibraryChanges(*installed, library.socket_directory);
}

}  // namespace npu_ipc::injection
