// ShareRegistry: who is on a key's whitelist.
#include <spdlog/spdlog.h>

#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {
namespace {

using wire::RotateReason;

constexpr auto kLookAgainAfter = std::chrono::seconds(1);

}  // namespace

void ShareRegistry::List(ExportedKey& key, const Client& importer) {
  const ProcessKey& process = importer.info.process;
  Listing& listing = key.listings[process.pid];
  if (listing.process == process) return;
  PodRecord* const before = std::exchange(listing, {process, false, importer.pod}).pod;
  if (before == importer.pod) return;
  importer.pod->listed_on[&key].push_back(process.pid);
  if (before == nullptr) return;
  const auto listed = before->listed_on.find(&key);
  std::erase(listed->second, process.pid);
  if (listed->second.empty()) before->listed_on.erase(listed);
  DropPodIfUnused(*before);
}

// Nobody is on its whitelist any more.
void ShareRegistry::Unlist(ExportedKey& key) {
  std::set<PodRecord*> pods;
  for (const auto& [pid, listing] : key.listings) pods.insert(listing.pod);
  key.listings.clear();
  for (PodRecord* const pod : pods) {
    pod->listed_on.erase(&key);
    DropPodIfUnused(*pod);
  }
}

// The driver lists a process on the key that was not meant: whoever has that pid may import.
void ShareRegistry::Taint(const SharedKey& key, pid_t pid, const char* what) {
  metrics_.CountTaintedKey();
  spdlog::warn("key tainted: its whitelist has {}: pid={} {}", what, pid, DescribeKey(*key));
  if (RevokeModeOf(*key->pod) == pods::RevokeMode::kRotate) {
    RotateSoon(key, RotateReason::kTainted);
  }
}

// Of a key that an earlier broker let processes in to: who they are, where the driver tells. Only
// for an exporter that wants rights taken back for good: else nothing follows from it.
void ShareRegistry::LearnWhitelist(const SharedKey& key) {
  if (key->listed_before == 0 || key->whitelist_read) return;
  if (RevokeModeOf(*key->pod) != pods::RevokeMode::kRotate) return;
  key->whitelist_read = true;
  const Duration after = hold_new_ ? Duration(kLookAgainAfter) : Duration(0);
  AddDeadline(key, after, [this](const SharedKey& still) {
    still->whitelist_read = false;
    if (hold_new_) return LearnWhitelist(still);  // who has a right is not known yet
    still->whitelist_read = true;
    for (const FoundProcess& found : context_.WhitelistOf(KeyText(still->handle))) {
      AddLearned(still, found);
    }
    std::set<PodRecord*> pods;
    for (const auto& [pid, listing] : still->listings) pods.insert(listing.pod);
    Keys to_rotate;
    for (const PodRecord* const pod : pods) RecheckListings(still, *pod, &to_rotate);
    RotateAll(to_rotate);
  });
}

void ShareRegistry::AddLearned(const SharedKey& key, const FoundProcess& found) {
  const pid_t pid = found.process.pid;
  if (found.pod_cgroup_uid == key->pod->uid) return;  // a pod lets its own in as it likes
  if (found.pod_cgroup_uid.empty()) return Taint(key, pid, "a process of no pod");
  Listing& listing = key->listings[pid];
  if (listing.pod != nullptr) return;  // it has said so itself
  PodRecord& pod = pods_[found.pod_cgroup_uid];
  pod.uid = found.pod_cgroup_uid;
  listing = {found.process, false, &pod};
  pod.listed_on[key.get()].push_back(pid);
}

}  // namespace npu_ipc::broker
