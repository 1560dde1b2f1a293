#include "runtime/src/export_table.h"

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
                                    Deadline deadline, Export** result, hal::acl::Error* code,
                                    Text* error) {
  Export* const made = New<Export>();
  if (made == nullptr) return NPU_IPC_NO_MEMORY;
  made->base = base;
  made->bytes = bytes;
  for (;;) {
    mutex_.Lock();
    Export* const known = Find(base);
    if (known == nullptr) break;
    if (!known->busy_) {
      const bool same_size = known->bytes == bytes;
      if (same_size) ++known->names_;
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
  exports_.PushBack(made);
  mutex_.Unlock();

  *code = vendor.get_export_key(base, bytes, made->key, sizeof(made->key), hal::acl::kFlagDefault);
  made->key[sizeof(made->key) - 1] = '\0';

  const bool exported = *code == hal::acl::kSuccess;
  {
    MutexLock lock(mutex_);
    made->busy_ = false;
    made->names_ = 1;
    if (!exported) exports_.Remove(made);
  }
  changed_.Announce();
  if (exported) {
    *result = made;
    return NPU_IPC_OK;
  }
  Delete(made);
  *error = DescribeVendorError("aclrtIpcMemGetExportKey", *code);
  error->Append(
      " (the pointer must be the start of an aclrtMalloc allocation that is not exported "
      "already)");
  return NPU_IPC_VENDOR_ERROR;
}

hal::acl::Error ExportTable::Release(const hal::acl::IpcTable& vendor, Export* exported,
                                     bool* closed) {
  *closed = false;
  {
    MutexLock lock(mutex_);
    if (exported->names_ > 1) {
      --exported->names_;
      return hal::acl::kSuccess;
    }
    exported->busy_ = true;
  }
  const hal::acl::Error code = vendor.close(exported->key);
  *closed = code == hal::acl::kSuccess;
  {
    MutexLock lock(mutex_);
    exported->busy_ = false;
    if (code != hal::acl::kContextNull) exports_.Remove(exported);
  }
  changed_.Announce();
  if (code != hal::acl::kContextNull) Delete(exported);
  return code;
}

bool ExportTable::IsLastName(const Export* exported) {
  MutexLock lock(mutex_);
  return exported->names_ <= 1;
}

}  // namespace npu_ipc::runtime
