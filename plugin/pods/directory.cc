#include "plugin/pods/directory.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace npu_ipc::pods {

std::vector<std::string> PodTable::Replace(std::vector<Pod> pods) {
  std::vector<std::string> changed;
  std::unordered_map<std::string, std::shared_ptr<const Pod>> next;
  for (Pod& pod : pods) {
    const auto [place, is_new] = next.try_emplace(CgroupUid(pod));
    const auto& [uid, kept] = *place;
    if (!is_new) {
      spdlog::error("pods left out: two claim one static pod: uid={} pods={},{}", uid,
                    kept ? FullName(*kept) : "more", FullName(pod));
      place->second = nullptr;
      continue;
    }
    const auto known = pods_.find(uid);
    place->second = known != pods_.end() && *known->second == pod
                        ? known->second
                        : std::make_shared<const Pod>(std::move(pod));
  }
  std::erase_if(next, [](const auto& entry) { return entry.second == nullptr; });
  for (const auto& [uid, pod] : next) {
    const auto known = pods_.find(uid);
    if (known == pods_.end() || known->second != pod) changed.push_back(uid);
  }
  for (const auto& [uid, pod] : pods_) {
    if (!next.contains(uid)) changed.push_back(uid);
  }
  pods_ = std::move(next);
  return changed;
}

std::vector<std::string> PodTable::Uids() const {
  std::vector<std::string> uids;
  for (const auto& [uid, pod] : pods_) uids.push_back(uid);
  return uids;
}

std::shared_ptr<const Pod> PodTable::Find(const std::string& uid) const {
  const auto found = pods_.find(uid);
  return found == pods_.end() ? nullptr : found->second;
}

}  // namespace npu_ipc::pods
