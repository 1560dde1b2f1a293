#include "hal/base/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "hal/base/atomic_file.h"
#include "hal/base/fd.h"
#include "hal/base/posix_error.h"
#include "hal/base/read.h"

namespace npu_ipc {
namespace {

constexpr mode_t kOthersRead = 077;
constexpr mode_t kOthersWrite = 022;
constexpr size_t kMaxHeaderBytes = 256;

// FNV-1a, 64 bits.
uint64_t Checksum(std::string_view content) {
  uint64_t sum = 14695981039346656037ULL;
  for (const char c : content) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return sum;
}

Status NotOursAlone(const std::string& path, const struct stat& found, mode_t refused) {
  if (found.st_uid != ::geteuid()) {
    return {StatusCode::kPermissionDenied, path + " belongs to user " +
                                               std::to_string(found.st_uid) + ", not to " +
                                               std::to_string(::geteuid())};
  }
  if ((found.st_mode & refused) == 0) return Status::Ok();
  char mode[8];
  snprintf(mode, sizeof(mode), "%04o", found.st_mode & 07777);
  return {StatusCode::kPermissionDenied, path + " is open to other users: its mode is " + mode};
}

// The size of a file that is this user's alone.
Result<size_t> SizeOfOurs(int file, const std::string& path) {
  struct stat found = {};
  if (::fstat(file, &found) != 0) return PosixError(errno, "look at " + path);
  if (!S_ISREG(found.st_mode)) {
    return Status(StatusCode::kPermissionDenied, path + " is not a file");
  }
  if (Status ours = NotOursAlone(path, found, kOthersRead); !ours.ok()) return ours;
  return static_cast<size_t>(found.st_size);
}

Status PrepareDirectory(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(directory).parent_path(), error);
  if (error) return PosixError(error.value(), "make the directories above " + directory);
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return PosixError(errno, "make directory " + directory);
  }
  const UniqueFd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!opened) return PosixError(errno, "open directory " + directory);
  struct stat found = {};
  if (::fstat(opened.get(), &found) != 0) return PosixError(errno, "look at " + directory);
  if (Status ours = NotOursAlone(directory, found, 0); !ours.ok()) return ours;
  if ((found.st_mode & kOthersRead) != 0 && ::fchmod(opened.get(), 0700) != 0) {
    return PosixError(errno, "chmod " + directory);
  }
  return Status::Ok();
}

}  // namespace

Result<UniqueFd> OpenStateFile(const std::string& path) {
  const Status prepared = PrepareDirectory(std::filesystem::path(path).parent_path());
  if (!prepared.ok()) return prepared;
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!file) return PosixError(errno, "open " + path);
  const Result<size_t> size = SizeOfOurs(file.get(), path);
  if (!size.ok()) return size.status();
  return file;
}

StateFile::StateFile(std::string path, std::string kind, uint32_t version, size_t max_bytes)
    : path_(std::move(path)),
      directory_(std::filesystem::path(path_).parent_path()),
      kind_(std::move(kind)),
      version_(version),
      max_bytes_(max_bytes) {}

std::string StateFile::Header(std::string_view content) const {
  char sum[17];
  snprintf(sum, sizeof(sum), "%016llx", static_cast<unsigned long long>(Checksum(content)));
  return "npu-ipc " + kind_ + " " + std::to_string(version_) + " " +
         std::to_string(content.size()) + " " + sum + "\n";
}

Status StateFile::CheckDirectory() const {
  struct stat found = {};
  if (::lstat(directory_.c_str(), &found) != 0) return PosixError(errno, "look at " + directory_);
  if (!S_ISDIR(found.st_mode)) {
    return {StatusCode::kPermissionDenied, directory_ + " is not a directory"};
  }
  return NotOursAlone(directory_, found, kOthersWrite);
}

Result<std::string> StateFile::Read() const {
  if (Status checked = CheckDirectory(); !checked.ok()) return checked;
  const UniqueFd file(::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return PosixError(errno, "open " + path_);
  const Result<size_t> size = SizeOfOurs(file.get(), path_);
  if (!size.ok()) return size.status();
  const size_t bytes = *size;
  if (bytes > max_bytes_ + kMaxHeaderBytes) {
    return Status(StatusCode::kInvalidArgument,
                  path_ + " is larger than " + std::to_string(max_bytes_) + " bytes");
  }
  Result<std::string> text = ReadUpTo(file.get(), bytes, "read " + path_);
  if (!text.ok()) return text.status();
  const size_t header_end = text->find('\n') + 1;  // 0: there is none
  std::string content = text->substr(header_end);
  if (header_end == 0 || text->compare(0, header_end, Header(content)) != 0) {
    return Status(StatusCode::kInvalidArgument, path_ + " is not a whole file of " + kind_ +
                                                    ", version " + std::to_string(version_));
  }
  return content;
}

Status StateFile::Write(std::string_view content) const {
  if (content.size() > max_bytes_) {
    return {StatusCode::kInvalidArgument, "what " + path_ + " is to hold is larger than " +
                                              std::to_string(max_bytes_) + " bytes"};
  }
  if (Status prepared = PrepareDirectory(directory_); !prepared.ok()) return prepared;
  // Always the same name: a process that is killed here leaves one file behind, not many.
  const std::string incoming = path_ + ".new";
  ::unlink(incoming.c_str());
  Status written = WriteNewFile(incoming, Header(content) + std::string(content), 0600);
  if (written.ok() && ::rename(incoming.c_str(), path_.c_str()) != 0) {
    written = PosixError(errno, "rename " + incoming);
  }
  if (!written.ok()) {
    ::unlink(incoming.c_str());
    return written;
  }
  return SyncDirectory(directory_);
}

}  // namespace npu_ipc
