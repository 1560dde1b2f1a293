#include "plugin/pods/file_directory.h"

#include <errno.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "hal/base/posix_error.h"
#include "hal/base/process.h"

namespace npu_ipc::pods {
namespace {

constexpr size_t kMaxFileBytes = 64 << 20;
constexpr uint32_t kEvents =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ONLYDIR;

std::filesystem::path ParentOf(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

bool SameTime(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

Result<std::unique_ptr<FilePodDirectory>> FilePodDirectory::Open(EventLoop& loop,
                                                                 const std::string& path) {
  UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify) return PosixError(errno, "inotify_init1");
  std::unique_ptr<FilePodDirectory> directory(new FilePodDirectory(loop, path, std::move(inotify)));
  // Watched first, read second: a change between the two is read twice, never missed.
  if (Status watched = directory->WatchDirectories(); !watched.ok()) return watched;
  Result<EventLoop::WatchId> watch =
      loop.Watch(directory->inotify_.get(), EPOLLIN,
                 [self = directory.get()](uint32_t) { self->DrainEvents(); });
  if (!watch.ok()) return watch.status();
  directory->watch_ = *watch;
  directory->Refresh();
  return directory;
}

FilePodDirectory::FilePodDirectory(EventLoop& loop, std::string path, UniqueFd inotify)
    : loop_(loop), path_(std::move(path)), inotify_(std::move(inotify)) {}

FilePodDirectory::~FilePodDirectory() { loop_.Unwatch(watch_); }

std::shared_ptr<const Pod> FilePodDirectory::Find(const std::string& uid) const {
  return pods_.Find(uid);
}

DirectoryState FilePodDirectory::state() const {
  return {read_once_ && problem_.empty(), problem_, pods_.size(), read_once_};
}

void FilePodDirectory::OnChange(Listener listener) { listener_ = std::move(listener); }

// The directory that names the file, and the one that a symlink leads to. Adding a watch that is
// there already changes nothing.
Status FilePodDirectory::WatchDirectories() {
  const std::string named = ParentOf(path_);
  if (::inotify_add_watch(inotify_.get(), named.c_str(), kEvents) < 0) {
    return PosixError(errno, "watch the directory of the pod file, " + named);
  }
  std::error_code error;
  const std::filesystem::path target = std::filesystem::canonical(path_, error);
  if (!error) {
    const std::string real = ParentOf(target);
    if (::inotify_add_watch(inotify_.get(), real.c_str(), kEvents) < 0) {
      return PosixError(errno, "watch the directory of the pod file, " + real);
    }
  }
  return Status::Ok();
}

void FilePodDirectory::DrainEvents() {
  alignas(inotify_event) char buffer[4096];
  while (::read(inotify_.get(), buffer, sizeof(buffer)) > 0) {
  }
  // Whatever happened (an overflow of the queue too), the file itself says whether it is another.
  if (FileDiffers()) Refresh();
}

bool FilePodDirectory::FileDiffers() {
  struct stat now = {};
  if (::stat(path_.c_str(), &now) != 0) now = {};
  return now.st_ino != last_read_.st_ino || now.st_dev != last_read_.st_dev ||
         now.st_size != last_read_.st_size || !SameTime(now.st_mtim, last_read_.st_mtim) ||
         !SameTime(now.st_ctim, last_read_.st_ctim);
}

void FilePodDirectory::Refresh() {
  // Looked at before it is read: a write meanwhile makes it differ again.
  if (::stat(path_.c_str(), &last_read_) != 0) last_read_ = {};
  std::vector<std::string> changed;
  Status status = WatchDirectories();
  const Result<std::string> text = ReadFile(path_, kMaxFileBytes);
  Result<std::vector<Pod>> pods =
      text.ok() ? ParsePods(*text) : Result<std::vector<Pod>>(text.status());
  if (pods.ok()) {
    changed = pods_.Replace(std::move(pods).value());
    read_once_ = true;
  } else {
    status = pods.status();
  }
  const std::string before = std::exchange(
      problem_, status.ok() ? std::string() : "pod file " + path_ + ": " + status.message());
  if (!problem_.empty() && problem_ != before) {
    spdlog::error("{}; keeping the {} pods that were read before", problem_, pods_.size());
  } else if (problem_.empty() && (!before.empty() || !changed.empty())) {
    spdlog::info("pod file read: path={} pods={} changed={}", path_, pods_.size(), changed.size());
  }
  if (listener_) listener_(changed);
}

}  // namespace npu_ipc::pods
