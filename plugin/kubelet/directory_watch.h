// What happens to the files of one directory, and to the directory itself.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "hal/base/event_loop.h"
#include "hal/base/fd.h"
#include "hal/base/result.h"

namespace npu_ipc::kubelet {

// Follows a directory with inotify, also before it exists and across its being removed and made
// again: until then the nearest ancestor that exists is watched. Belongs to the loop's thread.
class DirectoryWatch {
 public:
  struct Callbacks {
    std::function<void(const std::string& name)> created;  // or renamed to that name
    std::function<void(const std::string& name)> removed;  // or renamed away from it
    // The directory is there (again), or events were lost: look at everything anew.
    std::function<void()> rescan;
  };

  // `directory` is absolute. kResourceExhausted when the kernel's limits on inotify are reached
  // (the message names the sysctl). No callback runs before this returns.
  static Result<std::unique_ptr<DirectoryWatch>> Create(EventLoop& loop,
                                                        const std::string& directory,
                                                        Callbacks callbacks);
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

 private:
  DirectoryWatch(EventLoop& loop, std::string directory, Callbacks callbacks, UniqueFd inotify);

  // Watches the directory, or what there is of the way to it. True when it is the directory itself.
  bool WatchWhatExists();
  void OnReadable();
  void OnDirectoryEvent(uint32_t mask, const std::string& name);

  EventLoop& loop_;
  const std::string directory_;
  const Callbacks callbacks_;
  UniqueFd inotify_;
  EventLoop::WatchId watch_id_ = 0;
  int directory_watch_ = -1;  // inotify's, of the directory itself; -1 while it is missing
  int ancestor_watch_ = -1;   // of the nearest ancestor, while it is
};

}  // namespace npu_ipc::kubelet
