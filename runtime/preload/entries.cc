// The interposed entries: what each does where the broker knows this process, and that it is the
// next one's call and nothing else where it does not.
#include <string.h>

#include "runtime/preload/import_pids.h"
#include "runtime/preload/runtime_entries.h"
#include "runtime/preload/session.h"
#include "runtime/protocol/key_name.h"
#include "runtime/src/deadline.h"
#include "runtime/src/errno_keeper.h"
#include "runtime/src/vendor.h"

namespace npu_ipc::preload {
namespace {

using hal::acl::Error;
using hal::acl::kFlagDisablePidValidation;
using hal::acl::kSuccess;
using runtime::Client;
using runtime::Deadline;
using runtime::ErrnoKeeper;

// A program exports with locks held (torch_npu: its allocator's), so that it waits for a broker
// that is restarted a moment only; an import that is not let in has failed.
constexpr uint32_t kExportMilliseconds = 1000;
constexpr uint32_t kImportPatienceMilliseconds = 3000;
constexpr uint32_t kAdmitMilliseconds = 10000;
// An older broker waits that long for a key that nobody has told it of.
constexpr uint32_t kOlderBrokerMilliseconds = 2000;

struct KeyName {
  char text[wire::kKeyNameBytes];
};

// False for what is no key.
bool NameOf(const char* key, KeyName* name) {
  if (key == nullptr) return false;
  const size_t length = ::strnlen(key, hal::acl::kExportKeyBytes);
  if (length == 0 || length >= hal::acl::kExportKeyBytes) return false;
  wire::MakeKeyName(key, length, name->text);
  return true;
}

// The key that one of this process' own has now. False where it is none.
bool CurrentKey(Client* client, const KeyName& name, char (&key)[hal::acl::kExportKeyBytes]) {
  const ErrnoKeeper keep_errno;
  return client->exporter().CurrentKey(name.text, key);
}

bool MayDisablePidValidation(Client* client) {
  const ErrnoKeeper keep_errno;
  if (client->BrokerMinor() < 2) return false;
  runtime::PendingRequest pending;
  pending.message.ask_policy = {};
  pending.message.header = runtime::MakeHeader<wire::AskPolicy>(wire::MessageType::kAskPolicy, 0);
  pending.answer = wire::MessageType::kPolicyTold;
  return client->Request(&pending, Deadline::After(kExportMilliseconds)) == NPU_IPC_OK &&
         pending.reply.policy_told.may_disable_pid_validation != 0;
}

// Whether the broker lets in whom it may: now, or once it is back.
bool Publish(Client* client, const void* pointer, size_t bytes, const char* key, uint64_t flags) {
  const ErrnoKeeper keep_errno;
  KeyName name;
  if (!NameOf(key, &name)) return false;
  const runtime::ProgramExport exported = {const_cast<void*>(pointer), bytes, key, name.text,
                                           flags};
  return client->exporter().Adopt(exported, Deadline::After(kExportMilliseconds)) == NPU_IPC_OK;
}

Error GetExportKey(const void* pointer, size_t bytes, char* key, uint32_t key_bytes,
                   uint64_t flags) {
  Client* const client = FindSharingClient(kExportMilliseconds);
  const bool harden = client != nullptr && (flags & kFlagDisablePidValidation) != 0 &&
                      !MayDisablePidValidation(client);
  const uint64_t used = harden ? flags & ~kFlagDisablePidValidation : flags;
  const Error code = NextGetExportKey(pointer, bytes, key, key_bytes, used);
  // A broker that is away is told once it is back, too.
  Client* const known = client != nullptr ? client : FindKnownClient();
  if (code != kSuccess || known == nullptr) return code;
  if (Publish(known, pointer, bytes, key, used) || !harden) return code;
  // Nobody would be let in: this pod may not share it. Then it is the program's as it asked for it.
  NextClose(key);
  return NextGetExportKey(pointer, bytes, key, key_bytes, flags);
}

Error SetImportPid(const char* key, int32_t* pids, int count) {
  KeyName name;
  Client* const client = pids != nullptr && count > 0 && NameOf(key, &name)
                             ? FindSharingClient(kExportMilliseconds)
                             : nullptr;
  if (client == nullptr) return NextSetImportPid(key, pids, count);
  char current[hal::acl::kExportKeyBytes];
  const bool ours = CurrentKey(client, name, current);
  return SetImportPids(client, ours ? current : key, pids, count);
}

Error ImportByKey(void** pointer, const char* key, uint64_t flags) {
  KeyName name;
  Client* const client = pointer != nullptr && NameOf(key, &name)
                             ? FindSharingClient(kImportPatienceMilliseconds)
                             : nullptr;
  if (client == nullptr) return NextImportByKey(pointer, key, flags);
  char current[hal::acl::kExportKeyBytes];
  if (CurrentKey(client, name, current)) {
    return NextImportByKey(pointer, current, flags);  // nobody lets a process in to its own memory
  }
  {
    const ErrnoKeeper keep_errno;
    const uint32_t wait_ms =
        client->BrokerMinor() >= 2 ? kAdmitMilliseconds : kOlderBrokerMilliseconds;
    Error code = kSuccess;
    const npu_ipc_status status =
        client->importer().AttachOwn(name.text, flags, wait_ms, pointer, &code);
    if (status == NPU_IPC_OK || code != kSuccess) return code;
  }
  // A key that the broker does not know, or that it lets this process in to for no import: as the
  // driver has it.
  return NextImportByKey(pointer, key, flags);
}

Error Close(const char* key) {
  Client* const client = FindKnownClient();
  KeyName name;
  if (client == nullptr || !NameOf(key, &name)) return NextClose(key);
  runtime::Text ignored;
  const hal::acl::IpcTable& vendor = *runtime::FindVendor(&ignored);
  Error code = kSuccess;
  // In a process that has done both, the import first (runtime: api_impl.cc).
  const bool ours = client->importer().CloseOwn(vendor, name.text, &code) ||
                    client->exporter().CloseOwn(vendor, name.text, &code);
  return ours ? code : NextClose(key);
}

Error DeviceGetBareTgid(uint32_t* pid) {
  const Error code = NextDeviceGetBareTgid(pid);
  // It succeeds with -1 where the driver does not answer (driver: devdrv_container.c).
  if (code != kSuccess || pid == nullptr || static_cast<int32_t>(*pid) > 0) return code;
  Client* const client = FindSharingClient(0);
  if (client != nullptr) *pid = static_cast<uint32_t>(client->HostPid());
  return code;
}

}  // namespace
}  // namespace npu_ipc::preload

extern "C" {

int rtsIpcMemGetExportKey(const void* ptr, size_t size, char* key, uint32_t len, uint64_t flags) {
  return npu_ipc::preload::GetExportKey(ptr, size, key, len, flags);
}

int rtsIpcMemSetImportPid(const char* key, int32_t pid[], int num) {
  return npu_ipc::preload::SetImportPid(key, pid, num);
}

int rtsIpcMemImportByKey(void** ptr, const char* key, uint64_t flags) {
  return npu_ipc::preload::ImportByKey(ptr, key, flags);
}

int rtsIpcMemClose(const char* key) { return npu_ipc::preload::Close(key); }

int rtDeviceGetBareTgid(uint32_t* pid) { return npu_ipc::preload::DeviceGetBareTgid(pid); }

}  // extern "C"
