#include "plugin/cluster/line_splitter.h"

#include <utility>

namespace npu_ipc::cluster {

LineSplitter::LineSplitter(size_t max_line_bytes, LineReceiver on_line,
                           std::function<void()> on_too_long)
    : max_line_bytes_(max_line_bytes),
      on_line_(std::move(on_line)),
      on_too_long_(std::move(on_too_long)) {}

bool LineSplitter::Feed(std::string_view piece) {
  for (;;) {
    const size_t end = piece.find('\n');
    if (end == std::string_view::npos) {
      Keep(piece);
      return true;
    }
    if (!Deliver(piece.substr(0, end))) return false;
    piece.remove_prefix(end + 1);
  }
}

void LineSplitter::Keep(std::string_view part_of_line) {
  if (dropping_) return;
  if (part_of_line.size() > max_line_bytes_ - kept_.size()) {
    dropping_ = true;
    std::string().swap(kept_);  // clear() would keep the memory
    on_too_long_();
    return;
  }
  kept_ += part_of_line;
}

bool LineSplitter::Deliver(std::string_view rest_of_line) {
  if (kept_.empty() && rest_of_line.size() <= max_line_bytes_ && !dropping_) {
    return rest_of_line.empty() || on_line_(rest_of_line);
  }
  Keep(rest_of_line);
  const std::string line = std::exchange(kept_, {});
  if (std::exchange(dropping_, false)) return true;
  return on_line_(line);
}

}  // namespace npu_ipc::cluster
