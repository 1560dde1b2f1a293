#include "plugin/injection/library_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string_view>

#include "hal/base/fd.h"
#include "hal/base/posix_error.h"
#include "hal/base/process.h"
#include "plugin/injection/sha256.h"

namespace npu_ipc::injection {
namespace {

constexpr char kLibrary[] = "libnpu_ipc.so";
constexpr std::string_view kPrefix = "libnpu_ipc";
constexpr std::string_view kIncoming = ".incoming-";
constexpr size_t kDigitsInName = 16;
constexpr size_t kLargestFile = 64 << 20;

struct LibraryFile {
  bool is_link = false;
  std::string content;  // a link's target
  bool operator==(const LibraryFile&) const = default;
};
using LibraryFiles = std::map<std::string, LibraryFile>;  // by name

bool IsLibraryName(std::string_view name) {
  return name.starts_with(kPrefix) && name.find(".so") != std::string_view::npos;
}

Result<LibraryFile> ReadLibraryFile(const std::string& path) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) return PosixError(errno, "lstat " + path);
  if (S_ISLNK(status.st_mode)) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(path, error).string();
    if (error) return PosixError(error.value(), "readlink " + path);
    // A link that stays within the directory is kept; one that leaves it stands for what it points
    // to.
    if (target.find('/') == std::string::npos) return LibraryFile{true, target};
  }
  Result<std::string> content = ReadFile(path, kLargestFile);
  if (!content.ok()) return content.status();
  return LibraryFile{false, std::move(*content)};
}

Result<LibraryFiles> ReadLibraries(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(directory.c_str()), &::closedir);
  if (listing == nullptr) return PosixError(errno, "open directory " + directory);
  LibraryFiles files;
  errno = 0;
  while (const dirent* entry = ::readdir(listing.get())) {
    if (!IsLibraryName(entry->d_name)) continue;
    Result<LibraryFile> file = ReadLibraryFile(directory + "/" + entry->d_name);
    if (!file.ok()) return file.status();
    files.emplace(entry->d_name, std::move(*file));
    errno = 0;
  }
  if (errno != 0) return PosixError(errno, "read directory " + directory);
  return files;
}

std::string ContentName(const LibraryFiles& files) {
  Sha256 hash;
  for (const auto& [name, file] : files) {
    hash.Update(name + (file.is_link ? " -> " : ": ") + std::to_string(file.content.size()) + "\n");
    hash.Update(file.content);
  }
  return hash.HexDigest().substr(0, kDigitsInName);
}

Status SyncDirectory(const std::string& path) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return PosixError(errno, "open " + path);
  if (::fsync(directory.get()) != 0) return PosixError(errno, "fsync " + path);
  return Status::Ok();
}

Status WriteWhole(const std::string& path, std::string_view content) {
  // Readable and mappable by whoever runs in a container; writable by nobody.
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return PosixError(errno, "create " + path);
  while (!content.empty()) {
    const ssize_t written = ::write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return PosixError(errno, "write " + path);
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (::fchmod(file.get(), 0555) != 0) return PosixError(errno, "chmod " + path);
  if (::fsync(file.get()) != 0) return PosixError(errno, "fsync " + path);
  return Status::Ok();
}

Status WriteLibraries(const std::string& directory, const LibraryFiles& files) {
  for (const auto& [name, file] : files) {
    const std::string path = directory + "/" + name;
    if (!file.is_link) {
      if (Status status = WriteWhole(path, file.content); !status.ok()) return status;
    } else if (::symlink(file.content.c_str(), path.c_str()) != 0) {
      return PosixError(errno, "symlink " + path);
    }
  }
  if (::chmod(directory.c_str(), 0755) != 0) return PosixError(errno, "chmod " + directory);
  return SyncDirectory(directory);
}

// Makes the store where it is missing, refuses one that containers could not map from, and locks
// it: the lock ends with the descriptor.
Result<UniqueFd> OpenStore(const std::string& store) {
  std::error_code error;
  std::filesystem::create_directories(store, error);
  if (error) return PosixError(error.value(), "make directory " + store);
  struct statvfs mounted = {};
  if (::statvfs(store.c_str(), &mounted) != 0) return PosixError(errno, "statvfs " + store);
  if ((mounted.f_flag & ST_NOEXEC) != 0) {
    return Status(
        StatusCode::kFailedPrecondition,
        store +
            " is on a file system mounted noexec, so no container could load the library from it "
            "(\"failed to map segment\"); set injection.libraryStore to a directory of another "
            "one");
  }
  UniqueFd directory(::open(store.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return PosixError(errno, "open " + store);
  if (::flock(directory.get(), LOCK_EX) != 0) return PosixError(errno, "flock " + store);
  return directory;
}

// What an installation that was killed left behind. The store's lock is held, so nobody is writing
// it now.
void RemoveIncoming(const std::string& store) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(store, ignored)) {
    if (std::string_view(entry.path().filename().native()).starts_with(kIncoming)) {
      std::filesystem::remove_all(entry.path(), ignored);
    }
  }
}

Status MoveAside(const std::string& path) {
  std::string aside = path + ".damaged-XXXXXX";
  if (::mkdtemp(aside.data()) == nullptr) return PosixError(errno, "make directory " + aside);
  if (::rename(path.c_str(), aside.c_str()) != 0) return PosixError(errno, "rename " + path);
  return Status::Ok();
}

}  // namespace

Result<std::string> InstallLibrary(const std::string& source, const std::string& store) {
  const Result<LibraryFiles> files = ReadLibraries(source);
  if (!files.ok()) return files.status().WithContext("the library to inject");
  if (::access((source + "/" + kLibrary).c_str(), R_OK) != 0) {  // follows the links
    return Status(StatusCode::kNotFound,
                  "there is no readable " + std::string(kLibrary) + " in " + source +
                      "; set injection.librarySource to the directory that has it");
  }
  const Result<UniqueFd> lock = OpenStore(store);
  if (!lock.ok()) return lock.status().WithContext("the library store");

  const std::string final_path = store + "/" + ContentName(*files);
  RemoveIncoming(store);
  struct stat existing = {};
  if (::lstat(final_path.c_str(), &existing) == 0) {
    const Result<LibraryFiles> installed = ReadLibraries(final_path);
    if (installed.ok() && *installed == *files) return final_path;
    if (Status status = MoveAside(final_path); !status.ok()) return status;
  }

  std::string incoming = store + "/" + std::string(kIncoming) + "XXXXXX";
  if (::mkdtemp(incoming.data()) == nullptr) return PosixError(errno, "make directory " + incoming);
  Status written = WriteLibraries(incoming, *files);
  if (written.ok() && ::rename(incoming.c_str(), final_path.c_str()) != 0) {
    written = PosixError(errno, "rename " + incoming);
  }
  if (written.ok()) written = SyncDirectory(store);
  if (!written.ok()) {
    RemoveIncoming(store);
    return written.WithContext("the library store");
  }
  return final_path;
}

}  // namespace npu_ipc::injection
