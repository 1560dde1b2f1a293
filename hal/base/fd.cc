#include "hal/base/fd.h"

#include <errno.h>
#include <unistd.h>

namespace npu_ipc {

void UniqueFd::Reset(int fd) {
  if (fd_ >= 0) {
    const int saved_errno = errno;
    ::close(fd_);
    errno = saved_errno;
  }
  fd_ = fd;
}

}  // namespace npu_ipc
