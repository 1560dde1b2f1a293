// A file descriptor of ours in a process that is not ours: the host may close it (daemons close all
// they do not know) or put another file at its number. So every use asks the kernel first whether
// the number still names the file that we opened.
#pragma once

#include <stdint.h>
#include <sys/stat.h>

#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {

// For files with an inode of their own: sockets, pipes, regular files. (All eventfds share one.)
// Copyable: a name, not an owner; whoever holds the resource calls Close.
class Descriptor {
 public:
  constexpr Descriptor() = default;
  // Remembers what `fd` names now. Invalid when `fd` is not open.
  explicit Descriptor(int fd) {
    struct stat status = {};
    if (fd < 0 || StatDescriptor(fd, &status) != 0) return;
    fd_ = fd;
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }

  // The number, also where it is no longer ours; -1 when invalid.
  int number() const { return fd_; }
  bool StillOurs() const {
    struct stat status = {};
    return fd_ >= 0 && StatDescriptor(fd_, &status) == 0 && status.st_dev == device_ &&
           status.st_ino == inode_;
  }
  // Closes it, unless the number is no longer ours to close.
  void Close() {
    if (StillOurs()) CloseDescriptor(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace npu_ipc::runtime
