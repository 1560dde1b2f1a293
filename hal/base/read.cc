#include "hal/base/read.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

#include "hal/base/posix_error.h"

namespace npu_ipc {
namespace {

constexpr size_t kFirstBytes = 4096;

}  // namespace

Result<std::string> ReadUpTo(int fd, size_t limit, std::string_view what) {
  std::string text;
  size_t size = 0;
  while (size < limit) {
    if (size == text.size()) text.resize(std::min(limit, std::max(kFirstBytes, size * 2)));
    const ssize_t got = ::read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return PosixError(errno, what);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

}  // namespace npu_ipc
