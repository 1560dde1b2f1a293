// What the driver itself has of exports, to hold against what processes claim.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hal/base/result.h"
#include "plugin/driver_records/ipc_memory_record.h"

namespace npu_ipc::driver_records {

// Where the driver offers them, on kernels with CONFIG_PROC_FS (driver: svm_shmem_procfs.c). Not of
// a PID or mount namespace: every /proc shows the same.
inline constexpr char kDefaultDirectory[] = "/proc/svm_shmem";

// What a process says that it has exported.
struct ExportClaim {
  std::string_view key;
  pid_t exporter = 0;  // as the kernel says; in the initial PID namespace, as the driver's pids are
  uint32_t device = 0;  // physical id
  uint64_t bytes = 0;
};

// What a process says that it has imported.
struct MappingClaim {
  std::string_view key;
  pid_t importer = 0;  // pids as above
  pid_t exporter = 0;
  uint32_t device = 0;  // the exporter's; physical id
  uint64_t bytes = 0;
};

// Reads files and keeps nothing: safe for concurrent use. Its directory may be absent (another
// driver, no driver): then nothing is known and nothing contradicted.
class DriverRecords {
 public:
  explicit DriverRecords(std::string directory = kDefaultDirectory);

  const std::string& directory() const { return directory_; }

  // Whether the driver offers its records now.
  bool Available() const;

  // The record of `key`, its whitelist included (up to 32,768 processes: some milliseconds).
  // kNotFound: the driver has no such key; kUnavailable: it offers no records, or they cannot be
  // read (they are their owner's, root's); kInvalidArgument: the record is of another form.
  Result<IpcMemoryRecord> Read(std::string_view key) const;

  // The keys that there are. kUnavailable as above.
  Result<std::vector<std::string>> Keys() const;

  // In words, where the driver's record says otherwise than `claim`; nothing where it agrees or
  // where nothing is known. Reads the record's head alone. Never names the key.
  std::optional<std::string> Contradiction(const ExportClaim& claim) const;

  // The same; reads the whitelist, too. An export that has gone contradicts nothing: a mapping of
  // it is dead, and still there.
  std::optional<std::string> Contradiction(const MappingClaim& claim) const;

 private:
  Result<IpcMemoryRecord> ReadFirst(std::string_view key, size_t limit) const;

  const std::string directory_;
};

}  // namespace npu_ipc::driver_records
