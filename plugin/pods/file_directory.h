// The pod directory of a node without an API server: a JSON file, watched.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include "hal/base/event_loop.h"
#include "hal/base/fd.h"
#include "plugin/pods/directory.h"

namespace npu_ipc::pods {

// Reads what ParsePods() reads from `path` and again whenever that changes: rewritten in place,
// renamed over, or swapped by symlink as the kubelet does with a mounted ConfigMap. Watched with
// inotify, never polled. A file that is missing, unreadable or malformed leaves the last good pods
// in place; state() and the log say what is wrong with it until it is well again.
//
// Reading and parsing happen on the loop's thread: some 10 ms for 200 pods.
class FilePodDirectory final : public PodDirectory {
 public:
  // `loop` must outlive the directory. The file may be missing yet; its directory may not
  // (kNotFound).
  static Result<std::unique_ptr<FilePodDirectory>> Open(EventLoop& loop, const std::string& path);
  ~FilePodDirectory() override;

  std::shared_ptr<const Pod> Find(const std::string& uid) const override;
  DirectoryState state() const override;
  void OnChange(Listener listener) override;
  void Refresh() override;

 private:
  FilePodDirectory(EventLoop& loop, std::string path, UniqueFd inotify);

  Status WatchDirectories();
  void DrainEvents();
  bool FileDiffers();

  EventLoop& loop_;
  const std::string path_;
  UniqueFd inotify_;
  EventLoop::WatchId watch_ = 0;
  struct stat last_read_ = {};  // of the file that was read last; all zero: none
  bool read_once_ = false;
  std::string problem_;
  PodTable pods_;
  Listener listener_;
};

}  // namespace npu_ipc::pods
