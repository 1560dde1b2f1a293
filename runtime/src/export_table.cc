#include "runtime/src/export_table.h"

#include <string.h>

#include "runtime/src/memory.h"
#include "runtime/src/vendor.h"

namespace npu_ipc::runtime {

Export* ExportTable::Find(const void* base) {
  for (Export* exported = exports_.front(); exported != nullptr;
       exported = exports_.Next(exported)) {
    if (exported->base == base) return exported;
  }
  return nullptr;
}

npu_ipc_status ExportTable::Acquire(const hal::acl::IpcTable& vendor, void* base, size_t bytes,
                                    Deadline deadline, Export** result,
                                    char (&key)[hal::acl::kExportKeyBytes], hal::acl::Error* code,
                                    Text* error) {
  Export* made = New<Export>();
  if (made == nullptr) return NPU_IPC_NO_MEMORY;
  made->base = base;
  made->bytes = bytes;
  for (;;) {
    mutex_.Lock();
    Export* const known = Find(base);
    if (known == nullptr) {
      exports_.PushBack(made);
      break;
    }
    if (!known->busy_ && known->bytes == bytes && known->key_[0] == '\0') {
      known->busy_ = true;
      Delete(made);
      made = known;
      break;
    }
    if (!known->busy_) {
      const bool same_size = known->bytes == bytes;
      if (same_size) {
        ++known->names_;
        memcpy(key, known->key_, sizeof(key));
      }
      const size_t known_bytes = known->bytes;
      mutex_.Unlock();
      Delete(made);
      *result = known;
      if (same_size) return NPU_IPC_OK;
      *error = Text("this allocation is already published with ");
      error->AppendUnsigned(known_bytes)
          .Append(
              " bytes: one allocation has one key; pass that size, and a view for a part of it");
      return NPU_IPC_INVALID_ARGUMENT;
    }
    const uint32_t seen = changed_.Current();
    mutex_.Unlock();
    if (deadline.Passed()) {
      Delete(made);
      *error = Text("another thread's export of this allocation has not ended");
      return NPU_IPC_TIMED_OUT;
    }
    changed_.WaitWhile(seen, deadline);
  }
  mutex_.Unlock();

  *code = Make(vendor, made);
  const bool exported = *code == hal::acl::kSuccess;
  bool unused = false;
  {
    MutexLock lock(mutex_);
    made->busy_ = false;
    if (exported) {
      ++made->names_;
      memcpy(key, made->key_, sizeof(key));
    }
    unused = made->names_ == 0;
    if (unused) exports_.Remove(made);
  }
  changed_.Announce();
  if (exported) {
    *result = made;
    return NPU_IPC_OK;
  }
  if (unused) Delete(made);
  *error = DescribeVendorError("aclrtIpcMemGetExportKey", *code);
  error->Append(
      " (the pointer must be the start of an aclrtMalloc allocation that is not exported "
      "already)");
  return NPU_IPC_VENDOR_ERROR;
}

hal::acl::Error ExportTable::Make(const hal::acl::IpcTable& vendor, Export* exported) {
  char key[hal::acl::kExportKeyBytes] = {};
  const hal::acl::Error code =
      vendor.get_export_key(exported->base, exported->bytes, key, sizeof(key), exported->flags);
  if (code != hal::acl::kSuccess) return code;
  key[sizeof(key) - 1] = '\0';
  MutexLock lock(mutex_);
  memcpy(exported->key_, key, sizeof(key));
  return code;
}

bool ExportTable::CopyKey(const Export* exported, char (&key)[hal::acl::kExportKeyBytes]) {
  MutexLock lock(mutex_);
  memcpy(key, exported->key_, sizeof(key));
  return key[0] != '\0';
}

npu_ipc_status ExportTable::Release(const hal::acl::IpcTable& vendor, Export* exported,
                                    Deadline deadline, bool* closed, hal::acl::Error* code) {
  *closed = false;
  *code = hal::acl::kSuccess;
  for (;;) {
    mutex_.Lock();
    if (exported->names_ > 1) {
      --exported->names_;
      mutex_.Unlock();
      return NPU_IPC_OK;
    }
    if (!exported->busy_) break;
    const uint32_t seen = changed_.Current();
    mutex_.Unlock();
    if (deadline.Passed()) return NPU_IPC_TIMED_OUT;
    changed_.WaitWhile(seen, deadline);
  }
  exported->busy_ = true;
  mutex_.Unlock();

  // Nobody changes the key of an export that is busy with us.
  if (exported->key_[0] != '\0') *code = vendor.close(exported->key_);
  *closed = *code == hal::acl::kSuccess;
  const bool ended = *code != hal::acl::kContextNull;
  {
    MutexLock lock(mutex_);
    exported->busy_ = false;
    if (ended) exports_.Remove(exported);
  }
  changed_.Announce();
  if (ended) Delete(exported);
  return *code == hal::acl::kSuccess ? NPU_IPC_OK : NPU_IPC_VENDOR_ERROR;
}

bool ExportTable::Reserve(Export* exported) {
  MutexLock lock(mutex_);
  if (exported->busy_ || exported->key_[0] == '\0') return false;
  exported->busy_ = true;
  return true;
}

bool ExportTable::Unreserve(Export* exported) {
  {
    MutexLock lock(mutex_);
    if (exported->abandoned_) return false;
    exported->busy_ = false;
  }
  changed_.Announce();
  return true;
}

Export* ExportTable::Adopt(void* base, size_t bytes, const char* key, uint64_t flags) {
  Export* const adopted = New<Export>();
  if (adopted == nullptr) return nullptr;
  adopted->base = base;
  adopted->bytes = bytes;
  adopted->flags = flags;
  CopyText(adopted->key_, sizeof(adopted->key_), key);
  adopted->names_ = 1;
  adopted->busy_ = false;
  MutexLock lock(mutex_);
  exports_.PushBack(adopted);
  return adopted;
}

ExportTable::Closing ExportTable::ReserveToClose(Export* exported,
                                                 char (&key)[hal::acl::kExportKeyBytes]) {
  MutexLock lock(mutex_);
  if (exported->busy_) {
    exported->abandoned_ = true;
    return Closing::kAbandoned;
  }
  exported->busy_ = true;
  memcpy(key, exported->key_, sizeof(key));
  return key[0] != '\0' ? Closing::kReserved : Closing::kNoKey;
}

void ExportTable::Forget(Export* exported) {
  {
    MutexLock lock(mutex_);
    exports_.Remove(exported);
  }
  changed_.Announce();
  Delete(exported);
}

ExportTable::Renewal ExportTable::Renew(const hal::acl::IpcTable& vendor, Export* exported,
                                        hal::acl::Error* code) {
  *code = vendor.close(exported->key_);
  if (*code != hal::acl::kSuccess) return Renewal::kNotClosed;
  {
    MutexLock lock(mutex_);
    memset(exported->key_, 0, sizeof(exported->key_));
    exported->whitelisted.store(0, std::memory_order_relaxed);
  }
  *code = Make(vendor, exported);
  return *code == hal::acl::kSuccess ? Renewal::kDone : Renewal::kNotMade;
}

bool ExportTable::IsLastName(const Export* exported) {
  MutexLock lock(mutex_);
  return exported->names_ <= 1;
}

}  // namespace npu_ipc::runtime
