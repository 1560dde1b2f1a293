// One export of the driver's, as the driver itself tells it.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "hal/base/result.h"

namespace npu_ipc::driver_records {

// A process that may import: somebody has put it on the key's whitelist.
struct ListedProcess {
  // Of another server's process where it is not kThisServer.
  static constexpr uint32_t kThisServer = UINT32_MAX;

  uint32_t super_pod_device_id = kThisServer;
  pid_t pid = 0;             // in the initial PID namespace
  uint64_t set_time_ns = 0;  // since boot; a process that started later may not import
  bool open = false;         // it has the memory mapped now

  friend bool operator==(const ListedProcess&, const ListedProcess&) = default;
};

// (driver: svm_shmem_procfs.c prints it, svm_shmem_node.h has the fields.)
struct IpcMemoryRecord {
  std::string key;      // no secret (file names that all may read), yet never to be logged
  uint32_t device = 0;  // physical id
  pid_t creator = 0;    // in the initial PID namespace
  uint64_t bytes = 0;
  uint64_t page_bytes = 0;
  bool whitelist_required = true;  // false: any process of the node may import
  bool valid = true;               // false: being destroyed
  std::vector<ListedProcess> whitelist;

  // The entry of `pid` on this server, or nullptr.
  const ListedProcess* Find(pid_t pid) const;
};

// Reads the text of one file of /proc/svm_shmem. Fields may come in any order, and unknown ones are
// skipped, since other driver versions have others; name, devid, pid, len, need_set_wlist and valid
// must be there. A text that ends within the whitelist (it was read only so far) gives the entries
// that are whole. Pure. kInvalidArgument says what is wrong, without the key.
Result<IpcMemoryRecord> ParseIpcMemoryRecord(std::string_view text);

}  // namespace npu_ipc::driver_records
