// Memory shared between processes by key: the driver's rules of who may open what, and for how
// long. Rules from hicann/driver, svm_shmem_node.c and svm_shmem_interprocess.c unless said.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "hal/sim/driver/peer_access.h"
#include "hal/sim/driver/process_facts.h"
#include "hal/sim/driver/validity_page.h"
#include "hal/sim/driver/verdict.h"

namespace npu_ipc::sim {

struct Share;

// One process' open of a share, on one of its devices.
struct ShareOpening {
  Share* share;
  pid_t pid;
  uint32_t device;
  uint64_t address;  // where the process says it is; shown in the audit files, nothing else
  ValidityPage* page;
  uint32_t slot;
};

struct WhitelistEntry {
  pid_t pid;
  uint64_t set_time_ns;  // CLOCK_BOOTTIME
  std::unique_ptr<ShareOpening> opening;
};

// What is shared: a part of one allocation.
struct SharedMemory {
  uint64_t handle = 0;
  uint32_t device = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t page_bytes = 0;
  uint64_t address = 0;  // where the creator says it is
};

struct Share {
  std::string key;
  uint64_t counter;  // the number in the key
  pid_t creator;
  SharedMemory memory;
  uint32_t super_pod_device_id;
  bool whitelist_required = true;
  bool valid = true;          // false: destroyed, and kept until the last open of it is closed
  bool pages_present = true;  // false: the memory was freed or the share destroyed
  std::vector<std::unique_ptr<WhitelistEntry>> whitelist;  // in order of listing; never shrinks
  std::unordered_map<pid_t, WhitelistEntry*> by_pid;
  uint32_t openings = 0;
};

// Told of every change, on the driver's thread, before the request that made it is answered.
class ShareObserver {
 public:
  virtual ~ShareObserver() = default;
  virtual void OnChanged(const Share& share) = 0;
  // A change that only added to the whitelist, from index `first` on.
  virtual void OnListed(const Share& share, size_t /*first*/) { OnChanged(share); }
  virtual void OnRemoved(const Share& share) = 0;
};

// Not thread safe. Keys and pids are looked up, never searched for: no call costs more with more
// shares, and only the ones that a process' end undoes cost more with what that process had.
class Shares {
 public:
  struct Options {
    bool keys_name_super_pod_device = false;  // 910C: keys end in the exporter's
    std::function<uint64_t()> boot_time_ns;   // CLOCK_BOOTTIME
    int64_t clock_ticks_per_second = 100;     // of ProcessFacts::start_time_ticks
  };

  // `peers` outlives this object, which takes its OnChange(); so does `observer`, unless nullptr.
  Shares(Options options, PeerAccess& peers, ShareObserver* observer);

  // EINVAL: the offset is not on a page boundary, or the part not inside `allocated` bytes. EFAULT:
  // the process has made and opened 480,000.
  Verdict Create(pid_t pid, const SharedMemory& memory, uint64_t allocated,
                 uint32_t super_pod_device_id, std::string* key);
  // Adds `count` processes, or lists them anew. EINVAL: unknown key; not the creator; not 1 to 31;
  // no room among 32,768; nothing listed, as pid 0 and the creator's own are passed over. EPERM:
  // the whitelist is off. EFAULT: destroyed.
  Verdict SetPids(pid_t pid, const std::string& key, const int32_t* pids, uint32_t count);
  // EINVAL: unknown key. EPERM: not the creator, or processes are listed already.
  Verdict DisableWhitelist(pid_t pid, const std::string& key);

  // Opens for `process`, which will map at `address`; `page` is its own and outlives its opens.
  // EINVAL: unknown key; destroyed or freed; not listed; started after it was listed; already open
  // in this process; another device, and peer access not enabled both ways. ENOMEM: no validity
  // slot. EFAULT: as Create().
  Verdict Open(const ProcessFacts& process, ValidityPage& page, const std::string& key,
               uint32_t device, uint64_t address, const ShareOpening** opening);
  // EINVAL: this process has not opened it. Done also when the creator has destroyed it meanwhile.
  Verdict Close(pid_t pid, const std::string& key);
  // Pulls the pages from whoever has it open. EINVAL: unknown key. EACCES: not the creator. EFAULT:
  // destroyed before, and still open somewhere.
  Verdict Destroy(pid_t pid, const std::string& key);
  // nullptr: unknown key. Needs no entry in the whitelist.
  const Share* Find(const std::string& key) const;

  // The memory is freed: its pages are pulled from whoever has them open, and its shares, which
  // the creator may still destroy, cannot be opened any more.
  void PullPages(uint64_t handle);
  // Closes and destroys what the process opened and created on one device, or on all.
  void ReleaseOnDevice(pid_t pid, uint32_t device);
  void Release(pid_t pid);

 private:
  using DevicePair = std::pair<uint32_t, uint32_t>;  // smaller first
  struct ProcessShares {
    std::unordered_set<Share*> created;
    std::unordered_map<Share*, ShareOpening*> opened;
  };

  Share* FindMutable(const std::string& key);
  bool AtProcessLimit(pid_t pid) const;
  std::string MakeKey(pid_t pid, uint32_t device, uint32_t super_pod_device_id, uint64_t counter);
  WhitelistEntry& AddEntry(Share& share, pid_t pid);
  Verdict FindEntryFor(const ProcessFacts& process, Share& share, WhitelistEntry** entry);
  bool IsReachable(const ShareOpening& opening) const;
  void CloseOpening(Share& share, WhitelistEntry& entry);
  void PullPagesOf(Share& share);
  void DestroyShare(Share& share);
  void RemoveIfUnused(Share& share);
  void ReleaseWhere(pid_t pid, const std::function<bool(uint32_t device)>& matches);
  void OnPeerChange(DevicePair pair, bool configured);
  void NotifyChanged(const Share& share);

  Options options_;
  PeerAccess& peers_;
  ShareObserver* observer_;
  uint64_t next_counter_ = 1;
  std::unordered_map<std::string, std::unique_ptr<Share>> shares_;
  std::unordered_map<uint64_t, std::unordered_set<Share*>> by_handle_;
  std::unordered_map<pid_t, ProcessShares> processes_;
  std::map<DevicePair, std::unordered_set<ShareOpening*>> across_devices_;
};

}  // namespace npu_ipc::sim
