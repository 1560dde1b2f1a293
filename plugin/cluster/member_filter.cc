#include "plugin/cluster/member_filter.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

namespace npu_ipc::cluster {
namespace {

// How many objects and arrays are around an object's members, its own included.
constexpr int kDepthInList = 3;   // {"items": [{...}]}
constexpr int kDepthInEvent = 2;  // {"object": {...}}

}  // namespace

MemberFilter::MemberFilter(std::vector<std::string> left_out) : left_out_(std::move(left_out)) {}

Json MemberFilter::ReadList(std::string_view text) const { return Read(text, kDepthInList); }

Json MemberFilter::ReadEvent(std::string_view text) const { return Read(text, kDepthInEvent); }

Json MemberFilter::Read(std::string_view text, int object_depth) const {
  std::string member;  // of the object that is being read
  const auto keep = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event != Json::parse_event_t::key) return true;
    const int below = depth - object_depth;
    if (below != 0 && below != 1) return true;
    const std::string& key = parsed.get_ref<const std::string&>();
    const std::string path = below == 0 ? key : member + "." + key;
    if (below == 0) member = key;
    return std::find(left_out_.begin(), left_out_.end(), path) == left_out_.end();
  };
  if (left_out_.empty()) return Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return Json::parse(text, keep, /*allow_exceptions=*/false);
}

}  // namespace npu_ipc::cluster
