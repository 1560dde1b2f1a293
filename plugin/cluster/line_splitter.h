// Cuts a stream into lines, in bounded memory.
#pragma once

#include <stddef.h>

#include <functional>
#include <string>
#include <string_view>

namespace npu_ipc::cluster {

// Not thread safe.
class LineSplitter {
 public:
  // Returns whether to go on.
  using LineReceiver = std::function<bool(std::string_view line)>;

  // `on_too_long` is called once, as soon as a line is longer than `max_line_bytes`; the rest of
  // that line is dropped, and the next one is received again. Empty lines are skipped.
  LineSplitter(size_t max_line_bytes, LineReceiver on_line, std::function<void()> on_too_long);

  // False once `on_line` returned false; the rest of `piece` is dropped then.
  bool Feed(std::string_view piece);

 private:
  bool Deliver(std::string_view rest_of_line);
  void Keep(std::string_view part_of_line);

  const size_t max_line_bytes_;
  const LineReceiver on_line_;
  const std::function<void()> on_too_long_;
  std::string kept_;       // the beginning of a line whose end has not come yet
  bool dropping_ = false;  // until the end of a line that is too long
};

}  // namespace npu_ipc::cluster
