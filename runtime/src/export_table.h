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

// One exported allocation.
struct Export : ListLink<Export> {
  // Fixed from the moment that ExportTable::Acquire returns it, but for what is atomic.
  void* base = nullptr;
  size_t bytes = 0;
  uint64_t flags = hal::acl::kFlagDefault;  // that it is exported with
  std::atomic<uint32_t> whitelisted{
      0};  // processes on the key that it has now, as often as they were

 private:
  friend class ExportTable;
  // Guarded by the table's lock.
  char key_[hal::acl::kExportKeyBytes] = {};  // empty: a renewal has closed it and made no other
  uint32_t names_ = 0;
  bool busy_ = true;        // a thread is in the vendor calls that make, renew or close its key
  bool abandoned_ = false;  // closed by the program meanwhile
};

// Safe for concurrent use.
class ExportTable {
 public:
  // The export of [base, base + bytes) with one more name, and the key that it had at that moment:
  // made by a vendor call, or the one there is. Waits until `deadline` while another thread makes,
  // renews or closes it. OK; VENDOR_ERROR with `*code`; INVALID_ARGUMENT when it is exported with
  // another size; TIMED_OUT; NO_MEMORY. `*error` says it in words.
  npu_ipc_status Acquire(const hal::acl::IpcTable& vendor, void* base, size_t bytes,
                         Deadline deadline, Export** result, char (&key)[hal::acl::kExportKeyBytes],
                         hal::acl::Error* code, Text* error);

  // The key that it has now; false where it has none.
  bool CopyKey(const Export* exported, char (&key)[hal::acl::kExportKeyBytes]);

  // Takes one name off, and closes the key with the last (`*closed`): the export is freed then.
  // Waits until `deadline` while another thread renews the key. OK; VENDOR_ERROR with `*code`;
  // TIMED_OUT. With TIMED_OUT and with hal::acl::kContextNull nothing has changed: call again, on a
  // thread that has a context.
  npu_ipc_status Release(const hal::acl::IpcTable& vendor, Export* exported, Deadline deadline,
                         bool* closed, hal::acl::Error* code);

  // Takes in what the program has exported itself, with one name. Null when the host is out of
  // memory.
  Export* Adopt(void* base, size_t bytes, const char* key, uint64_t flags);

  // Keeps the export from everybody else's renewing or closing it until Unreserve. False where
  // another thread is about that. REQUIRES: the export cannot be freed before this returns.
  bool Reserve(Export* exported);
  // False where the program has closed it meanwhile: Close is to follow, then.
  bool Unreserve(Export* exported);

  // The program closes what it exported itself, and cannot wait. kReserved: for this thread, with
  // its key in `key`; kAbandoned: whoever renews the key just now closes it; kNoKey: a renewal has
  // closed it, and Forget is to follow.
  enum class Closing { kReserved, kAbandoned, kNoKey };
  Closing ReserveToClose(Export* exported, char (&key)[hal::acl::kExportKeyBytes]);
  // Frees an export that this thread has reserved, or that has no key.
  void Forget(Export* exported);

  enum class Renewal {
    kDone,
    kNotClosed,  // nothing has changed
    kNotMade,    // the old key is closed, and there is no new one
  };
  // Closes the key, which pulls the memory from every importer, and makes another: in this order,
  // as closing the newer of two keys of one address orphans the older. REQUIRES: reserved by this
  // thread, which has the context of the memory.
  Renewal Renew(const hal::acl::IpcTable& vendor, Export* exported, hal::acl::Error* code);

  // Whether Release would close the key.
  bool IsLastName(const Export* exported);

 private:
  Export* Find(const void* base);
  // Makes a key for an export that this thread keeps busy.
  hal::acl::Error Make(const hal::acl::IpcTable& vendor, Export* exported);

  Mutex mutex_;
  ChangeCount changed_;
  List<Export> exports_;
};

}  // namespace npu_ipc::runtime
