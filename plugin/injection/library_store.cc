#include "plugin/injection/library_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string_view>

#include "hal/base/atomic_file.h"
#include "hal/base/fd.h"
#include "hal/base/posix_error.h"
#include "hal/base/process.h"
#include "plugin/injection/sha256.h"

namespace npu_ipc::injection {
namespace {

constexpr char kLibrary[] = "libnpu_ipc.so";
constexpr std::string_view kPrefix = "libnpu_ipc";
constexpr std::string_view kIncoming = ".incoming-";
constexpr std::string_view kDamaged = ".damaged-";
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

Status WriteLibraries(const std::string& directory, const LibraryFiles& files) {
  for (const auto& [name, file] : files) {
    const std::string path = directory + "/" + name;
    // Readable and mappable by whoever runs in a container; writable by nobody.
    if (!file.is_link) {
      if (Status status = WriteNewFile(path, file.content, 0555); !status.ok()) return status;
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

// An empty directory of the store's that nobody looks into.
Result<std::string> MakeIncoming(const std::string& store) {
  std::string incoming = store + "/" + std::string(kIncoming) + "XXXXXX";
  if (::mkdtemp(incoming.data()) == nullptr) return PosixError(errno, "make directory " + incoming);
  return incoming;
}

// Puts the whole directory `incoming` in the place of the damaged one at `path`, which goes on
// existing under another name. Pods name the path and may be started at any moment, so there is
// none at which nothing is there, where the file system can exchange two names.
Status ReplaceDamaged(const std::string& incoming, const std::string& path) {
  std::string aside = path + std::string(kDamaged) + "XXXXXX";
  if (::mkdtemp(aside.data()) == nullptr) return PosixError(errno, "make directory " + aside);
  if (::renameat2(AT_FDCWD, incoming.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0) {
    if (::rename(incoming.c_str(), aside.c_str()) == 0) return Status::Ok();
    return PosixError(errno, "rename " + incoming);
  }
  if (::rename(path.c_str(), aside.c_str()) != 0) return PosixError(errno, "rename " + path);
  if (::rename(incoming.c_str(), path.c_str()) != 0) return PosixError(errno, "rename " + incoming);
  return Status::Ok();
}

// Writes a version that is not there, or not as it should be.
Status Install(const LibraryFiles& files, const std::string& store, const std::string& final_path,
               bool damaged) {
  const Result<std::string> incoming = MakeIncoming(store);
  if (!incoming.ok()) return incoming.status();
  if (Status written = WriteLibraries(*incoming, files); !written.ok()) return written;
  if (damaged) {
    if (Status replaced = ReplaceDamaged(*incoming, final_path); !replaced.ok()) return replaced;
  } else if (::rename(incoming->c_str(), final_path.c_str()) != 0) {
    return PosixError(errno, "rename " + *incoming);
  }
  return SyncDirectory(store);
}

// The version that a directory of the store holds, whole or damaged; "" for what is not the
// store's.
std::string_view VersionOf(std::string_view name) {
  const std::string_view version = name.substr(0, kDigitsInName);
  const std::string_view rest = name.substr(version.size());
  const bool is_hash = version.size() == kDigitsInName &&
                       version.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return is_hash && (rest.empty() || rest.starts_with(kDamaged)) ? version : std::string_view();
}

bool UsedWithin(const std::string& path, std::chrono::seconds period) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) return true;  // not to be judged
  return ::time(nullptr) - status.st_mtime < period.count();
}

// Under another name first: what is left of a removal that was cut short is not taken for a
// version.
Status RemoveVersion(const std::string& store, const std::string& path) {
  const Result<std::string> removed = MakeIncoming(store);
  if (!removed.ok()) return removed.status();
  if (::rename(path.c_str(), removed->c_str()) != 0) return PosixError(errno, "rename " + path);
  std::error_code error;
  std::filesystem::remove_all(*removed, error);
  return error ? PosixError(error.value(), "remove " + *removed) : Status::Ok();
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
  const bool exists = ::lstat(final_path.c_str(), &existing) == 0;
  if (exists) {
    const Result<LibraryFiles> installed = ReadLibraries(final_path);
    if (installed.ok() && *installed == *files) {
      MarkVersionUsed(final_path);
      return final_path;
    }
  }
  if (Status installed = Install(*files, store, final_path, exists); !installed.ok()) {
    RemoveIncoming(store);
    return installed.WithContext("the library store");
  }
  return final_path;
}

void MarkVersionUsed(const std::string& version_directory) {
  ::utimensat(AT_FDCWD, version_directory.c_str(), nullptr, 0);
}

Result<std::vector<std::string>> RemoveUnusedVersions(const std::string& store,
                                                      const std::string& current,
                                                      const MayBeNamed& may_be_named,
                                                      std::chrono::seconds unused_for) {
  const Result<UniqueFd> lock = OpenStore(store);
  if (!lock.ok()) return lock.status().WithContext("the library store");
  std::vector<std::string> candidates;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(store, error)) {
    const std::string name = entry.path().filename().string();
    const std::string version(VersionOf(name));
    if (version.empty() || entry.path() == current || UsedWithin(entry.path(), unused_for))
      continue;
    if (!may_be_named(version)) candidates.push_back(entry.path());
  }
  if (error) return PosixError(error.value(), "read directory " + store);
  std::sort(candidates.begin(), candidates.end());
  for (const std::string& path : candidates) {
    if (Status removed = RemoveVersion(store, path); !removed.ok()) return removed;
  }
  return candidates;
}

}  // namespace npu_ipc::injection
