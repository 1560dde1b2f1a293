#include "plugin/kubelet/directory_watch.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <utility>

#include "hal/base/posix_error.h"

namespace npu_ipc::kubelet {
namespace {

constexpr uint32_t kDirectoryEvents = IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM |
                                      IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr uint32_t kAncestorEvents =
    IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

std::string Parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

}  // namespace

Result<std::unique_ptr<DirectoryWatch>> DirectoryWatch::Create(EventLoop& loop,
                                                               const std::string& directory,
                                                               Callbacks callbacks) {
  UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify && errno == EMFILE) {
    return Status(
        StatusCode::kResourceExhausted,
        "inotify: too many instances on this node; raise the sysctl fs.inotify.max_user_instances");
  }
  if (!inotify) return PosixError(errno, "inotify_init1");
  std::unique_ptr<DirectoryWatch> watch(
      new DirectoryWatch(loop, directory, std::move(callbacks), std::move(inotify)));
  watch->WatchWhatExists();
  if (watch->directory_watch_ < 0 && watch->ancestor_watch_ < 0) {
    return Status(
        StatusCode::kResourceExhausted,
        "inotify: cannot watch " + directory + "; raise the sysctl fs.inotify.max_user_watches");
  }
  const Result<EventLoop::WatchId> id = loop.Watch(
      watch->inotify_.get(), EPOLLIN, [raw = watch.get()](uint32_t) { raw->OnReadable(); });
  if (!id.ok()) return id.status();
  watch->watch_id_ = *id;
  return watch;
}

DirectoryWatch::DirectoryWatch(EventLoop& loop, std::string directory, Callbacks callbacks,
                               UniqueFd inotify)
    : loop_(loop),
      directory_(std::move(directory)),
      callbacks_(std::move(callbacks)),
      inotify_(std::move(inotify)) {}

DirectoryWatch::~DirectoryWatch() {
  if (watch_id_ != 0) loop_.Unwatch(watch_id_);
}

bool DirectoryWatch::WatchWhatExists() {
  if (ancestor_watch_ >= 0) ::inotify_rm_watch(inotify_.get(), ancestor_watch_);
  ancestor_watch_ = -1;
  // The next component may be made between a failed look for it and the watch on its parent: look
  // again after that.
  for (std::string watched;;) {
    directory_watch_ = ::inotify_add_watch(inotify_.get(), directory_.c_str(), kDirectoryEvents);
    if (directory_watch_ >= 0) return true;
    std::string nearest = Parent(directory_);
    while (::access(nearest.c_str(), F_OK) != 0 && nearest != "/") nearest = Parent(nearest);
    if (nearest == watched) return false;
    if (ancestor_watch_ >= 0) ::inotify_rm_watch(inotify_.get(), ancestor_watch_);
    ancestor_watch_ = ::inotify_add_watch(inotify_.get(), nearest.c_str(), kAncestorEvents);
    if (ancestor_watch_ < 0) return false;
    watched = std::move(nearest);
  }
}

void DirectoryWatch::OnReadable() {
  alignas(inotify_event) char buffer[16 * (sizeof(inotify_event) + NAME_MAX + 1)];
  bool look_again = false;
  bool rescan = false;
  for (;;) {
    const ssize_t bytes = ::read(inotify_.get(), buffer, sizeof(buffer));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) break;
    for (const char* at = buffer; at < buffer + bytes;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        rescan = true;
      } else if (event->wd == directory_watch_ && directory_watch_ >= 0) {
        if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) {
          // A moved directory keeps its watch under its new name.
          ::inotify_rm_watch(inotify_.get(), directory_watch_);
          directory_watch_ = -1;
          rescan = true;
        } else {
          OnDirectoryEvent(event->mask, event->len > 0 ? event->name : "");
        }
      } else if (event->wd == ancestor_watch_) {
        look_again = true;
      }
    }
  }
  if (directory_watch_ < 0 && (look_again || rescan) && WatchWhatExists()) rescan = true;
  if (rescan) callbacks_.rescan();
}

void DirectoryWatch::OnDirectoryEvent(uint32_t mask, const std::string& name) {
  if ((mask & (IN_CREATE | IN_MOVED_TO)) != 0) callbacks_.created(name);
  if ((mask & (IN_DELETE | IN_MOVED_FROM)) != 0) callbacks_.removed(name);
}

}  // namespace npu_ipc::kubelet
