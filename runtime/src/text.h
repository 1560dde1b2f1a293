// Text in fixed buffers.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace npu_ipc::runtime {

// Copies `from` into `to`, cut to `capacity` with its NUL, the rest filled with NULs.
inline void CopyText(char* to, size_t capacity, const char* from) {
  if (capacity == 0) return;
  size_t length = 0;
  while (length + 1 < capacity && from[length] != '\0') ++length;
  memmove(to, from, length);
  memset(to + length, 0, capacity - length);
}

// True when `text` ends within its array.
template <size_t N>
bool Terminated(const char (&text)[N]) {
  return memchr(text, '\0', N) != nullptr;
}

// A sentence put together of pieces; what does not fit is cut. Always ends in a NUL.
class Text {
 public:
  static constexpr size_t kCapacity = 512;

  Text() = default;
  explicit Text(const char* text) { Append(text); }

  Text& Append(const char* piece) {
    while (*piece != '\0' && length_ + 1 < kCapacity) text_[length_++] = *piece++;
    text_[length_] = '\0';
    return *this;
  }
  Text& Append(int64_t number) {
    if (number < 0) Append("-");
    return AppendUnsigned(number < 0 ? 0 - static_cast<uint64_t>(number)
                                     : static_cast<uint64_t>(number));
  }
  Text& AppendUnsigned(uint64_t number) {
    char digits[21] = {};
    size_t at = sizeof(digits) - 1;
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return Append(digits + at);
  }

  const char* c_str() const { return text_; }
  size_t length() const { return length_; }
  bool empty() const { return length_ == 0; }

 private:
  char text_[kCapacity] = {};
  size_t length_ = 0;
};

}  // namespace npu_ipc::runtime
