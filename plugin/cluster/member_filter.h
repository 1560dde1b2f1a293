// Leaves out, while JSON is read, what nobody looks at.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plugin/cluster/json.h"

namespace npu_ipc::cluster {

// A pod is 10 to 50 KB of text, and some ten times as much once it is read; of all that a caller
// may want its metadata. A plain value; safe for concurrent use.
class MemberFilter {
 public:
  MemberFilter() = default;  // leaves nothing out
  // Each names a member of the objects, "spec", or a member of one, "metadata.managedFields".
  explicit MemberFilter(std::vector<std::string> left_out);

  // The text of a list, whose objects are its items, or of a watch's event, whose object is its
  // object. Discarded (is_discarded()) where it is no JSON. Never throws.
  Json ReadList(std::string_view text) const;
  Json ReadEvent(std::string_view text) const;

 private:
  Json Read(std::string_view text, int object_depth) const;

  std::vector<std::string> left_out_;
};

}  // namespace npu_ipc::cluster
