#include "hal/sim/driver/shares.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <algorithm>

#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {
namespace {

constexpr size_t kMaxSharesPerProcess = 480000;  // IPC_MEM_MAX_NUM: created and opened together
constexpr size_t kMaxWhitelist = 32768;          // IPC_WLIST_NUM
constexpr size_t kKeyLength = kKeyBytes - 1;

}  // namespace

Shares::Shares(Options options, PeerAccess& peers, ShareObserver* observer)
    : options_(std::move(options)), peers_(peers), observer_(observer) {
  peers_.OnChange([this](uint32_t a, uint32_t b, bool configured) {
    OnPeerChange({a, b}, configured);
  });
}

Verdict Shares::Create(pid_t pid, const SharedMemory& memory, uint64_t allocated,
                       uint32_t super_pod_device_id, std::string* key) {
  if (memory.offset % memory.page_bytes != 0) {
    return {EINVAL, "the exported address is not on a page boundary of its allocation"};
  }
  if (memory.length == 0 || memory.offset >= allocated ||
      memory.length > allocated - memory.offset) {
    return {EINVAL, "the exported range is not inside one allocation"};
  }
  if (AtProcessLimit(pid)) return {EFAULT, "the process has 480000 shares"};

  auto made = std::make_unique<Share>();
  made->counter = next_counter_++;
  made->key = MakeKey(pid, memory.device, super_pod_device_id, made->counter);
  made->creator = pid;
  made->memory = memory;
  made->super_pod_device_id = super_pod_device_id;
  Share* const share = made.get();
  shares_.emplace(share->key, std::move(made));
  by_handle_[memory.handle].insert(share);
  processes_[pid].created.insert(share);
  NotifyChanged(*share);
  *key = share->key;
  return {};
}

Verdict Shares::SetPids(pid_t pid, const std::string& key, const int32_t* pids, uint32_t count) {
  Share* const share = FindMutable(key);
  if (share == nullptr) return {EINVAL, "unknown key"};
  if (!share->whitelist_required) return {EPERM, "the share's whitelist is off"};
  if (!share->valid) return {EFAULT, "the share is destroyed"};
  if (share->creator != pid) return {EINVAL, "only the creator lists processes"};
  if (count == 0 || count > kMaxPidsPerCall)
    return {EINVAL, "1 to 31 processes are listed at once"};
  if (share->whitelist.size() + count > kMaxWhitelist) {
    return {EINVAL, "a share's whitelist has room for 32768 processes"};
  }
  const size_t listed_before = share->whitelist.size();
  uint32_t listed = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (pids[i] == 0 || pids[i] == share->creator) continue;
    const auto known = share->by_pid.find(pids[i]);
    if (known != share->by_pid.end()) {
      known->second->set_time_ns = options_.boot_time_ns();
    } else {
      AddEntry(*share, pids[i]);
    }
    ++listed;
  }
  if (listed == 0) return {EINVAL, "no process to list (pid 0 and the creator's own do not count)"};
  const bool only_added = share->whitelist.size() - listed_before == listed;
  if (observer_ != nullptr && only_added) {
    observer_->OnListed(*share, listed_before);
  } else {
    NotifyChanged(*share);
  }
  return {};
}

Verdict Shares::DisableWhitelist(pid_t pid, const std::string& key) {
  Share* const share = FindMutable(key);
  if (share == nullptr) return {EINVAL, "unknown key"};
  if (share->creator != pid) return {EPERM, "only the creator sets a share's attributes"};
  if (share->whitelist_required && !share->whitelist.empty()) {
    return {EPERM, "processes are listed: the whitelist cannot be switched off any more"};
  }
  share->whitelist_required = false;
  NotifyChanged(*share);
  return {};
}

Verdict Shares::Open(const ProcessFacts& process, ValidityPage& page, const std::string& key,
                     uint32_t device, uint64_t address, const ShareOpening** opening) {
  Share* const share = FindMutable(key);
  if (share == nullptr) return {EINVAL, "unknown key"};
  if (!share->valid || !share->pages_present) {
    return {EINVAL, "the share is destroyed or its memory freed"};
  }
  WhitelistEntry* entry = nullptr;
  if (Verdict found = FindEntryFor(process, *share, &entry); !found.ok()) return found;
  if (device != share->memory.device && !peers_.IsConfigured(device, share->memory.device)) {
    return {EINVAL, "peer access between the devices is not enabled in both directions"};
  }
  if (AtProcessLimit(process.pid)) return {EFAULT, "the process has 480000 shares"};
  uint32_t slot = 0;
  if (!page.Take(&slot)) return {ENOMEM, "the process has no validity slot left"};

  entry->opening = std::make_unique<ShareOpening>(
      ShareOpening{share, process.pid, device, address, &page, slot});
  ShareOpening* const made = entry->opening.get();
  ++share->openings;
  processes_[process.pid].opened.emplace(share, made);
  if (device != share->memory.device) {
    across_devices_[std::minmax(device, share->memory.device)].insert(made);
  }
  page.Set(slot, true);
  NotifyChanged(*share);
  *opening = made;
  return {};
}

Verdict Shares::Close(pid_t pid, const std::string& key) {
  Share* const share = FindMutable(key);
  if (share == nullptr) return {EINVAL, "unknown key"};
  const auto entry = share->by_pid.find(pid);
  if (entry == share->by_pid.end() || entry->second->opening == nullptr) {
    return {EINVAL, "the process has not opened the share"};
  }
  CloseOpening(*share, *entry->second);
  return {};
}

Verdict Shares::Destroy(pid_t pid, const std::string& key) {
  Share* const share = FindMutable(key);
  if (share == nullptr) return {EINVAL, "unknown key"};
  if (share->creator != pid) return {EACCES, "only the creator destroys a share"};
  if (!share->valid) return {EFAULT, "the share is destroyed already"};
  DestroyShare(*share);
  return {};
}

const Share* Shares::Find(const std::string& key) const {
  const auto found = shares_.find(key);
  return found == shares_.end() ? nullptr : found->second.get();
}

void Shares::PullPages(uint64_t handle) {
  const auto found = by_handle_.find(handle);
  if (found == by_handle_.end()) return;
  for (Share* share : found->second) PullPagesOf(*share);
}

void Shares::ReleaseOnDevice(pid_t pid, uint32_t device) {
  ReleaseWhere(pid, [device](uint32_t candidate) { return candidate == device; });
}

void Shares::Release(pid_t pid) {
  ReleaseWhere(pid, [](uint32_t) { return true; });
  processes_.erase(pid);
}

void Shares::ReleaseWhere(pid_t pid, const std::function<bool(uint32_t device)>& matches) {
  const auto process = processes_.find(pid);
  if (process == processes_.end()) return;
  std::vector<Share*> opened;
  for (const auto& [share, opening] : process->second.opened) {
    if (matches(opening->device)) opened.push_back(share);
  }
  for (Share* share : opened) CloseOpening(*share, *share->by_pid.at(pid));
  std::vector<Share*> created;
  for (Share* share : process->second.created) {
    if (matches(share->memory.device)) created.push_back(share);
  }
  for (Share* share : created) DestroyShare(*share);
}

Share* Shares::FindMutable(const std::string& key) {
  const auto found = shares_.find(key);
  return found == shares_.end() ? nullptr : found->second.get();
}

bool Shares::AtProcessLimit(pid_t pid) const {
  const auto process = processes_.find(pid);
  return process != processes_.end() &&
         process->second.created.size() + process->second.opened.size() >= kMaxSharesPerProcess;
}

std::string Shares::MakeKey(pid_t pid, uint32_t device, uint32_t super_pod_device_id,
                            uint64_t counter) {
  char text[kKeyBytes];
  int length =
      ::snprintf(text, sizeof(text), "%08x%016" PRIx64 "%02x%02x", static_cast<unsigned>(pid),
                 counter, device, 0u /* no virtual function */);
  if (options_.keys_name_super_pod_device) {
    length += ::snprintf(text + length, sizeof(text) - static_cast<size_t>(length), "%08x",
                         super_pod_device_id);
  }
  std::string key(text, static_cast<size_t>(length));
  key.resize(kKeyLength, '0');
  return key;
}

WhitelistEntry& Shares::AddEntry(Share& share, pid_t pid) {
  share.whitelist.push_back(
      std::make_unique<WhitelistEntry>(WhitelistEntry{pid, options_.boot_time_ns(), nullptr}));
  WhitelistEntry& entry = *share.whitelist.back();
  share.by_pid.emplace(pid, &entry);
  return entry;
}

Verdict Shares::FindEntryFor(const ProcessFacts& process, Share& share, WhitelistEntry** entry) {
  const auto known = share.by_pid.find(process.pid);
  if (known != share.by_pid.end()) {
    *entry = known->second;
  } else if (share.whitelist_required) {
    return {EINVAL, "the process is not on the share's whitelist"};
  } else if (share.whitelist.size() >= kMaxWhitelist) {
    return {EINVAL, "a share's whitelist has room for 32768 processes"};
  } else {
    *entry = &AddEntry(share, process.pid);
  }
  // A start time counts whole clock ticks (10 ms), rounded down. Held against the exact listing
  // time, it never refuses a process that was already running when it was listed; what it lets
  // through is a pid that is reused within the tick in which the older process was listed.
  constexpr uint64_t kNanosecondsPerSecond = 1000000000;
  const uint64_t ticks_per_second = static_cast<uint64_t>(options_.clock_ticks_per_second);
  const uint64_t started_ns = process.start_time_ticks * (kNanosecondsPerSecond / ticks_per_second);
  if (started_ns > (*entry)->set_time_ns) {
    return {EINVAL, "the process was started after it was listed"};
  }
  if ((*entry)->opening != nullptr) return {EINVAL, "the process has the share open already"};
  return {};
}

bool Shares::IsReachable(const ShareOpening& opening) const {
  const Share& share = *opening.share;
  return share.pages_present && (opening.device == share.memory.device ||
                                 peers_.IsConfigured(opening.device, share.memory.device));
}

void Shares::CloseOpening(Share& share, WhitelistEntry& entry) {
  ShareOpening& opening = *entry.opening;
  opening.page->Return(opening.slot);
  if (opening.device != share.memory.device) {
    const auto pair = across_devices_.find(std::minmax(opening.device, share.memory.device));
    pair->second.erase(&opening);
    if (pair->second.empty()) across_devices_.erase(pair);
  }
  processes_[opening.pid].opened.erase(&share);
  entry.opening.reset();
  --share.openings;
  NotifyChanged(share);
  RemoveIfUnused(share);
}

void Shares::PullPagesOf(Share& share) {
  if (!share.pages_present) return;
  share.pages_present = false;
  if (share.openings == 0) return;
  for (const auto& entry : share.whitelist) {
    if (entry->opening != nullptr) entry->opening->page->Set(entry->opening->slot, false);
  }
}

void Shares::DestroyShare(Share& share) {
  PullPagesOf(share);
  share.valid = false;
  processes_[share.creator].created.erase(&share);
  const auto shares = by_handle_.find(share.memory.handle);
  shares->second.erase(&share);
  if (shares->second.empty()) by_handle_.erase(shares);
  NotifyChanged(share);
  RemoveIfUnused(share);
}

void Shares::RemoveIfUnused(Share& share) {
  if (share.valid || share.openings != 0) return;
  if (observer_ != nullptr) observer_->OnRemoved(share);
  shares_.erase(share.key);
}

void Shares::OnPeerChange(DevicePair pair, bool /*configured*/) {
  const auto found = across_devices_.find(pair);
  if (found == across_devices_.end()) return;
  for (ShareOpening* opening : found->second) {
    opening->page->Set(opening->slot, IsReachable(*opening));
  }
}

void Shares::NotifyChanged(const Share& share) {
  if (observer_ != nullptr) observer_->OnChanged(share);
}

}  // namespace npu_ipc::sim
