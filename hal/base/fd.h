// The one owner of a file descriptor.
#pragma once

#include <utility>

namespace npu_ipc {

// Closes its descriptor when destroyed. An empty one (-1) is valid: it is what a moved-from or not
// yet opened descriptor looks like. Not thread safe, like an int.
class [[nodiscard]] UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}  // takes ownership of `fd`
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }  // the caller owns it now
  void Reset(int fd = -1);

 private:
  int fd_ = -1;
};

}  // namespace npu_ipc
