#include "hal/base/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "hal/base/fd.h"
#include "hal/base/posix_error.h"

namespace npu_ipc {
namespace {

Status WriteAndSync(int file, std::string_view content, mode_t mode, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return PosixError(errno, "write " + path);
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (::fchmod(file, mode) != 0) return PosixError(errno, "chmod " + path);
  if (::fsync(file) != 0) return PosixError(errno, "fsync " + path);
  return Status::Ok();
}

}  // namespace

Status SyncDirectory(const std::string& path) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return PosixError(errno, "open " + path);
  if (::fsync(directory.get()) != 0) return PosixError(errno, "fsync " + path);
  return Status::Ok();
}

Status WriteNewFile(const std::string& path, std::string_view content, mode_t mode) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return PosixError(errno, "create " + path);
  return WriteAndSync(file.get(), content, mode, path);
}

Status ReplaceFile(const std::string& path, std::string_view content, mode_t mode) {
  const std::filesystem::path target(path);
  const std::string directory = target.parent_path().string();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return PosixError(error.value(), "make directory " + directory);

  std::string incoming = directory + "/." + target.filename().string() + ".XXXXXX";
  const UniqueFd file(::mkostemp(incoming.data(), O_CLOEXEC));
  if (!file) return PosixError(errno, "create " + incoming);
  Status written = WriteAndSync(file.get(), content, mode, incoming);
  if (written.ok() && ::rename(incoming.c_str(), path.c_str()) != 0) {
    written = PosixError(errno, "rename " + incoming);
  }
  if (!written.ok()) {
    ::unlink(incoming.c_str());
    return written;
  }
  return SyncDirectory(directory);
}

}  // namespace npu_ipc
