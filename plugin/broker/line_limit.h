// What keeps a log readable where somebody does the same wrong thing again and again.
#pragma once

#include <stddef.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "hal/base/clock.h"

namespace npu_ipc::broker {

// Not safe for concurrent use.
class LineLimit {
 public:
  static constexpr size_t kLines = 20;
  static constexpr Duration kPeriod = std::chrono::seconds(10);  // for so many

  explicit LineLimit(size_t lines = kLines) : limit_(lines) {}

  // How many lines were left out since the last one; nothing where this one has to be, too.
  std::optional<size_t> Next(TimePoint now) {
    if (!began_ || now - *began_ >= kPeriod) {
      began_ = now;
      lines_ = 0;
    }
    if (lines_ == limit_) {
      ++left_out_;
      return std::nullopt;
    }
    ++lines_;
    return std::exchange(left_out_, 0);
  }

 private:
  size_t limit_;
  std::optional<TimePoint> began_;
  size_t lines_ = 0;
  size_t left_out_ = 0;
};

// For a line's end: empty where there are none.
inline std::string LeftOutText(size_t lines) {
  return lines == 0 ? "" : " left_out_before=" + std::to_string(lines);
}

}  // namespace npu_ipc::broker
