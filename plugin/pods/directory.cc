#include "plugin/pods/directory.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace npu_ipc::pods {

std::vector<std::string> PodTable::Apply(std::vector<PodChange> changes) {
  std::unordered_map<std::string, PodPointer> last;  // by uid
  for (PodChange& change : changes) {
    const bool kept = change.pod && !change.pod->terminated;
    last[change.uid] = kept ? std::make_shared<const Pod>(std::move(*change.pod)) : nullptr;
  }
  // What the cgroup uids concerned led to before.
  std::unordered_map<std::string, PodPointer> before;
  const auto note = [&](const Pod& pod) {
    const std::string cgroup_uid = CgroupUid(pod);
    before.try_emplace(cgroup_uid, Find(cgroup_uid));
  };
  std::erase_if(last, [this](const auto& entry) {
    const auto known = pods_.find(entry.first);
    if (known == pods_.end()) return entry.second == nullptr;
    return entry.second != nullptr && *known->second == *entry.second;  // the object stays
  });
  for (const auto& [uid, pod] : last) {
    if (const auto known = pods_.find(uid); known != pods_.end()) note(*known->second);
    if (pod != nullptr) note(*pod);
  }
  // First those that go: where one follows another, they never claim one uid together.
  for (const auto& [uid, pod] : last) Set(uid, nullptr);
  for (const auto& [uid, pod] : last) {
    if (pod != nullptr) Set(uid, pod);
  }
  std::vector<std::string> changed;
  for (const auto& [cgroup_uid, pod] : before) {
    if (Find(cgroup_uid) != pod) changed.push_back(cgroup_uid);
  }
  return changed;
}

std::vector<std::string> PodTable::Replace(std::vector<Pod> pods) {
  std::vector<PodChange> changes;
  changes.reserve(pods_.size() + pods.size());
  for (const auto& [uid, pod] : pods_) changes.push_back({uid, std::nullopt});
  for (Pod& pod : pods) {
    std::string uid = pod.uid;
    changes.push_back({std::move(uid), std::move(pod)});
  }
  return Apply(std::move(changes));
}

// Takes the pod `uid` away, or puts `pod` where none is.
void PodTable::Set(const std::string& uid, PodPointer pod) {
  if (pod == nullptr) {
    const auto known = pods_.find(uid);
    if (known == pods_.end()) return;
    const auto claims = claims_.find(CgroupUid(*known->second));
    std::erase(claims->second, known->second);
    if (claims->second.empty()) claims_.erase(claims);
    pods_.erase(known);
    return;
  }
  const std::string cgroup_uid = CgroupUid(*pod);
  std::vector<PodPointer>& claims = claims_[cgroup_uid];
  if (!claims.empty()) {
    spdlog::error("pods left out: two claim one static pod: uid={} pods={},{}", cgroup_uid,
                  FullName(*claims.front()), FullName(*pod));
  }
  claims.push_back(pod);
  pods_.emplace(uid, std::move(pod));
}

std::shared_ptr<const Pod> PodTable::Find(const std::string& cgroup_uid) const {
  const auto found = claims_.find(cgroup_uid);
  return found == claims_.end() || found->second.size() > 1 ? nullptr : found->second.front();
}

std::vector<std::string> PodTable::CgroupUids() const {
  std::vector<std::string> uids;
  uids.reserve(claims_.size());
  for (const auto& [uid, claims] : claims_) uids.push_back(uid);
  return uids;
}

std::vector<std::shared_ptr<const Pod>> PodTable::All() const {
  std::vector<PodPointer> all;
  all.reserve(pods_.size());
  for (const auto& [uid, pod] : pods_) all.push_back(pod);
  return all;
}

}  // namespace npu_ipc::pods
