#include "plugin/broker/region_names.h"

#include <utility>

namespace npu_ipc::broker {

void RegionNames::emplace(const RegionName* name, RegionId region) {
  if (!regions_.emplace(name, region).second) return;
  ordered_[name->group].emplace(name->name, region);
  if (note_) changes_.push_back({*name, region, true});
}

void RegionNames::erase(const RegionName& name) {
  const auto found = regions_.find(name);
  if (found == regions_.end()) return;
  if (note_) changes_.push_back({name, found->second, false});
  const auto group = ordered_.find(name.group);
  group->second.erase(name.name);
  if (group->second.empty()) ordered_.erase(group);
  regions_.erase(found);
}

std::optional<std::string_view> RegionNames::Next(const GroupKey& group, std::string_view prefix,
                                                  std::string_view after) const {
  const auto names = ordered_.find(group);
  if (names == ordered_.end()) return std::nullopt;
  const auto next = after.empty() || after < prefix ? names->second.lower_bound(prefix)
                                                    : names->second.upper_bound(after);
  if (next == names->second.end() || !next->first.starts_with(prefix)) return std::nullopt;
  return next->first;
}

}  // namespace npu_ipc::broker
