#include "runtime/preload/session.h"

#include <atomic>

#include "runtime/src/errno_keeper.h"
#include "runtime/src/memory.h"
#include "runtime/src/system_calls.h"

namespace npu_ipc::preload {
namespace {

using runtime::ChangeCount;
using runtime::Client;
using runtime::Deadline;
using runtime::ErrnoKeeper;

// For a broker that is there and does not answer. The program waits for it, perhaps with a lock of
// its own held.
constexpr uint32_t kAnswerMilliseconds = 2000;

// How long nothing is tried again: a pod does not get an annotation often, and a broker that let
// somebody wait once would do so at each call.
constexpr uint64_t kPauseNanoseconds = 10'000'000'000;

struct Session {
  explicit Session(pid_t process) : pid(process) {}

  const pid_t pid;
  std::atomic<Client*> client{nullptr};  // set once
  std::atomic<bool> opening{false};
  std::atomic<uint64_t> pause_ends{0};
  ChangeCount opened;
};

constinit std::atomic<Session*> current{nullptr};

// Null when the host is out of memory.
Session* ThisSession() {
  const pid_t pid = runtime::ProcessId();
  Session* known = current.load(std::memory_order_acquire);
  if (known != nullptr && known->pid == pid) return known;
  Session* const made = runtime::New<Session>(pid);
  if (made == nullptr) return nullptr;
  while (!current.compare_exchange_weak(known, made, std::memory_order_acq_rel)) {
    if (known != nullptr && known->pid == pid) {
      runtime::Delete(made);
      return known;
    }
  }
  // A child gives its parent's descriptors back. The rest may be locked by a thread that it does
  // not have.
  Client* const parents = known == nullptr ? nullptr : known->client.load();
  if (parents != nullptr) parents->Close();
  return made;
}

bool Pausing(const Session& session) {
  return runtime::MonotonicNanoseconds() < session.pause_ends.load(std::memory_order_relaxed);
}

void Pause(Session* session) {
  session->pause_ends.store(runtime::MonotonicNanoseconds() + kPauseNanoseconds,
                            std::memory_order_relaxed);
}

void Open(Session* session) {
  Client* client = nullptr;
  const npu_ipc_status status = Client::Open(runtime::SocketPathOfProcess(), kAnswerMilliseconds,
                                             Client::Absence::kFail, &client);
  if (status == NPU_IPC_OK) {
    session->client.store(client, std::memory_order_release);
    return;
  }
  if (status != NPU_IPC_NO_BROKER) Pause(session);
  if (client != nullptr) client->Close();
}

Client* OpenOnce(Session* session) {
  const Deadline deadline = Deadline::After(kAnswerMilliseconds);
  for (;;) {
    Client* const client = session->client.load(std::memory_order_acquire);
    if (client != nullptr || Pausing(*session)) return client;
    const uint32_t seen = session->opened.Current();
    if (!session->opening.exchange(true, std::memory_order_acq_rel)) {
      Open(session);
      session->opening.store(false, std::memory_order_release);
      session->opened.Announce();
      return session->client.load(std::memory_order_acquire);
    }
    if (deadline.Passed()) return nullptr;
    session->opened.WaitWhile(seen, deadline);
  }
}

}  // namespace

Client* FindSharingClient(uint32_t patience_ms) {
  const ErrnoKeeper keep_errno;
  Session* const session = ThisSession();
  Client* const client = session == nullptr ? nullptr : OpenOnce(session);
  if (client == nullptr || client->Connected()) return client;
  if (Pausing(*session)) return nullptr;
  if (client->EnsureConnected(Deadline::After(patience_ms)) == NPU_IPC_OK) return client;
  Pause(session);
  return nullptr;
}

Client* FindKnownClient() {
  Session* const known = current.load(std::memory_order_acquire);
  if (known == nullptr || known->pid != runtime::ProcessId()) return nullptr;
  return known->client.load(std::memory_order_acquire);
}

}  // namespace npu_ipc::preload
