// Device memory shared between processes by key.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <mutex>
#include <string>

#include "hal/sim/libruntime/address_space.h"
#include "hal/sim/libruntime/devices.h"
#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

// What the vendor's runtime and HAL check is checked here (107000); what its driver decides, the
// driver decides. Safe for concurrent use. Keys appear in no message.
class IpcMemory {
 public:
  IpcMemory(Devices& devices, AddressSpace& addresses) : devices_(devices), addresses_(addresses) {}

  // Writes 65 bytes: 64 characters and a NUL. `flags`: 0, or 1 to do without the whitelist.
  RtStatus Export(const void* pointer, size_t bytes, char* key, size_t capacity, uint64_t flags);
  // `count` 1 to 31.
  RtStatus SetImportPids(const char* key, const int32_t* pids, int count);
  // On the physical device `device`. `flags`: 0, or 1 to enable peer access first, which needs the
  // exporter's device to be visible here. A key imported already on this device gives the same
  // address and one more Close to make.
  RtResult<void*> Import(const char* key, uint64_t flags, uint32_t device);
  // An import first, else the caller's own export.
  RtStatus Close(const char* key);
  // One Close of the import that begins at `base`.
  RtStatus CloseImport(const void* base);
  RtStatus Destroy(const char* key);

  // The process has closed the device: its imports there are gone.
  void ForgetDevice(uint32_t physical_device);

 private:
  struct Opened {
    const void* base;
    uint32_t device;
    uint32_t uses;
  };
  using Imports = std::map<std::string, Opened>;

  RtResult<void*> Open(const std::string& key, uint64_t flags, uint32_t device);
  void CloseOne(Imports::iterator import);

  Devices& devices_;
  AddressSpace& addresses_;
  std::mutex mutex_;  // held across a whole import: two threads may bring the same key
  Imports imports_;   // guarded by mutex_
};

}  // namespace npu_ipc::sim
