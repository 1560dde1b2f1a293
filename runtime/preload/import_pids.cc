#include "runtime/preload/import_pids.h"

#include <string.h>

#include "runtime/preload/runtime_entries.h"
#include "runtime/src/deadline.h"
#include "runtime/src/errno_keeper.h"
#include "runtime/src/message.h"

namespace npu_ipc::preload {
namespace {

using hal::acl::Error;
using runtime::Client;

constexpr uint32_t kAnswerMilliseconds = 1000;

struct Pids {
  int32_t pids[wire::kMaxPids] = {};
  uint32_t count = 0;
};

// Leaves them as they are where the broker cannot say.
void Translate(Client* client, Pids* pids) {
  const runtime::ErrnoKeeper keep_errno;
  if (client->BrokerMinor() < 2) return;
  runtime::PendingRequest pending;
  wire::TranslatePids& request = pending.message.translate_pids;
  request = {};
  request.header = runtime::MakeHeader<wire::TranslatePids>(wire::MessageType::kTranslatePids, 0);
  request.count = pids->count;
  memcpy(request.pids, pids->pids, sizeof(request.pids));
  pending.answer = wire::MessageType::kPidsTranslated;
  if (client->Request(&pending, runtime::Deadline::After(kAnswerMilliseconds)) != NPU_IPC_OK) {
    return;
  }
  const wire::PidsTranslated& answer = pending.reply.pids_translated;
  if (answer.count == pids->count) memcpy(pids->pids, answer.pids, sizeof(pids->pids));
}

Error Tell(Client* client, const char* key, Pids* pids) {
  Translate(client, pids);
  const Error code = NextSetImportPid(key, pids->pids, static_cast<int>(pids->count));
  pids->count = 0;
  return code;
}

// The driver skips these, and refuses a call in which there are no others (svm_shmem_node.c): one
// that only comes of the splitting must not fail for it.
bool Skipped(int32_t pid, int32_t own_host_pid) { return pid == 0 || pid == own_host_pid; }

}  // namespace

Error SetImportPids(Client* client, const char* key, const int32_t* pids, int count) {
  const bool split = count > static_cast<int>(wire::kMaxPids);
  const int32_t own_host_pid = client->HostPid();
  Pids next;
  bool told = false;
  for (int i = 0; i < count; ++i) {
    if (split && Skipped(pids[i], own_host_pid)) continue;
    next.pids[next.count++] = pids[i];
    if (next.count < wire::kMaxPids) continue;
    const Error code = Tell(client, key, &next);
    if (code != hal::acl::kSuccess) return code;
    told = true;
  }
  if (next.count > 0) return Tell(client, key, &next);
  if (told) return hal::acl::kSuccess;
  next.count = 1;  // nobody but those that are skipped: as the driver has it
  return Tell(client, key, &next);
}

}  // namespace npu_ipc::preload
