// The allocations that this process has exported: one key each, however many names it is published
// under (driver: closing the newer of two keys of one address orphans the older).
#pragma once

#include <stdint.h>

#include <atomic>

#include "hal/acl/acl_ipc.h"
#include "runtime/include/npu_ipc.h"
#include "runtime/src/deadline.h"
#include "runtime/src/futex.h"
#include "runtime/src/list.h"
#include "runtime/src/text.h"

namespace npu_ipc::runtime {

// One exported allocation. Fixed from the moment that ExportTable::Acquire returns it, but for what is
// atomic.
struct Export : ListLink<Export> {
  void* base = nullptr;
  size_t bytes = 0;
  char key[hal::acl::kExportKeyBytes] = {};
  std::atomic<uint32_t> whitelisted{0};  // processes, as often as they were

 private:
  friend class ExportTable;
  uint32_t names_ = 0;
  bool busy_ = true;  // a thread is in the vendor call that makes or closes its key
};

// Safe for concurrent use.
class ExportTable {
 public:
  // The export of [base, base + bytes) with one more name: made by a vendor call, or the one there
  // is. Waits until `deadline` while another thread makes or closes it. OK; VENDOR_ERROR with
  // `*code`; INVALID_ARGUMENT when it is exported with another size; TIMED_OUT; NO_MEMORY. `*error`
  // says it in words.
  npu_ipc_status Acquire(const hal::acl::IpcTable& vendor, void* base, size_t bytes,
                         Deadline deadline, Export** result, hal::acl::Error* code, Text* error);

  // Takes one name off, and closes the key with the last (`*closed`): the export is freed then.
  // Returns the vendor's code. With hal::acl::kContextNull nothing has changed: call again on a thread
  // that has a context.
  hal::acl::Error Release(const hal::acl::IpcTable& vendor, Export* exported, bool* closed);

  // Whether Release would close the key.
  bool IsLastName(const Export* exported);

 private:
  Export* Find(const void* base);

  Mutex mutex_;
  ChangeCount changed_;
  List<Export> exports_;
};

}  // namespace npu_ipc::runtime
