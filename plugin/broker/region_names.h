// Which live region has a name: by name, in the order of names, and what has changed.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plugin/broker/share_types.h"

namespace npu_ipc::broker {

// Not thread safe. Looking a name up costs the same however many there are; the next in order costs
// the logarithm of a group's.
class RegionNames {
 public:
  // Of names that are elsewhere, found by any that is equal.
  struct Hash {
    using is_transparent = void;
    size_t operator()(const RegionName& name) const { return RegionNameHash()(name); }
    size_t operator()(const RegionName* name) const { return RegionNameHash()(*name); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const RegionName* a, const RegionName* b) const { return *a == *b; }
    bool operator()(const RegionName* a, const RegionName& b) const { return *a == b; }
    bool operator()(const RegionName& a, const RegionName* b) const { return a == *b; }
  };
  using Map = absl::flat_hash_map<const RegionName*, RegionId, Hash, Equal>;

  struct Change {
    RegionName name;
    RegionId region = 0;
    bool named = false;  // else: the region had the name, and has it no more
  };

  // As std::unordered_map has them.
  Map::const_iterator find(const RegionName& name) const { return regions_.find(name); }
  Map::const_iterator end() const { return regions_.end(); }
  bool contains(const RegionName& name) const { return regions_.contains(name); }
  size_t size() const { return regions_.size(); }
  // `name` must stay as it is, and where it is, until it is erased.
  void emplace(const RegionName* name, RegionId region);
  void erase(const RegionName& name);
  // Its region is another generation.
  void NoteRenewal(const RegionName& name, RegionId region) {
    if (note_) changes_.push_back({name, region, true});
  }

  // The first name of the group that begins with `prefix` and comes after `after` (empty: the first
  // of all).
  std::optional<std::string_view> Next(const GroupKey& group, std::string_view prefix,
                                       std::string_view after) const;

  // What has changed since it was asked last, in order. Nothing is noted before `note` is true.
  void NoteChanges(bool note) { note_ = note; }
  std::vector<Change> TakeChanges() { return std::exchange(changes_, {}); }

 private:
  struct GroupHash {
    size_t operator()(const GroupKey& group) const {
      const std::hash<std::string> hash;
      return hash(group.pod_namespace) * 31 + hash(group.name);
    }
  };

  Map regions_;
  // Views of the same names.
  std::unordered_map<GroupKey, std::map<std::string_view, RegionId>, GroupHash> ordered_;
  bool note_ = false;
  std::vector<Change> changes_;
};

}  // namespace npu_ipc::broker
