#include "runtime/src/service_thread.h"

#include <pthread.h>
#include <sys/prctl.h>

#include "runtime/src/client.h"
#include "runtime/src/loaded_symbols.h"
#include "runtime/src/memory.h"
#include "runtime/src/raw_log.h"
#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {
namespace {

// Vendor calls run on it; the host's own thread-local storage is taken from it, too.
constexpr size_t kStackBytes = size_t{1} << 20;

constexpr size_t kSignalSetBytes = 8;  // the kernel's, not libc's sigset_t

Deadline DeadlineOf(const wire::MessageHeader& header, uint32_t milliseconds, uint64_t arrived_at) {
  if (!wire::DeadlineIsInstant(header)) return Deadline::From(arrived_at, milliseconds);
  return Deadline::AtInstant(milliseconds, wire::kMaxDeadlineMilliseconds);
}

}  // namespace

bool ServiceThread::Start(Client* client) {
  const auto create = FindLoadedFunction<decltype(&::pthread_create)>("pthread_create");
  const auto set_stack_size =
      FindLoadedFunction<decltype(&::pthread_attr_setstacksize)>("pthread_attr_setstacksize");
  if (create == nullptr || set_stack_size == nullptr) return false;
  auto* const thread = static_cast<ServiceThread*>(::malloc(sizeof(ServiceThread)));
  if (thread == nullptr) return false;
  ::new (thread) ServiceThread(client);

  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  set_stack_size(&attributes, kStackBytes);
  // A thread inherits its maker's mask. libc's full set leaves out the signals that libc itself
  // sends to every thread and waits for (setuid).
  sigset_t all;
  ::sigfillset(&all);
  uint64_t before = 0;
  SystemCall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, kSignalSetBytes);
  pthread_t id;
  const int failure = create(&id, &attributes, &Main, thread);
  SystemCall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, kSignalSetBytes);
  ::pthread_attr_destroy(&attributes);
  if (failure != 0) Delete(thread);
  return failure == 0;
}

void* ServiceThread::Main(void* argument) {
  auto* const thread = static_cast<ServiceThread*>(argument);
  Client* const client = thread->client_;
  SystemCall(SYS_prctl, PR_SET_NAME, "npu-ipc", 0UL, 0UL, 0UL);
  thread->Run();
  Delete(thread);

  uint64_t id = 0;
  Connection* const connection = client->AcquireConnection(&id);
  if (connection != nullptr) {
    client->LoseConnection(connection, NPU_IPC_DISCONNECTED);
    connection->Release();
  }
  {
    MutexLock lock(client->mutex_);
    client->turn_.Close();
    client->wake_read_end_.Close();
    client->wake_write_end_.Close();
    client->thread_running_ = false;
  }
  client->changed_.Announce();
  client->ReleaseReference();
  return nullptr;
}

void ServiceThread::Run() {
  socket_was_empty_at_ = MonotonicNanoseconds();
  for (;;) {
    uint64_t connection_id = 0;
    Connection* const connection = client_->AcquireConnection(&connection_id);
    if (connection == nullptr) {
      reconnector_.Step();
    } else {
      reconnector_.Rest();
      ReadMessages(connection, connection_id);
      reclaimer_.Step(connection, connection_id);
      client_->subscriber().Renew(connection, connection_id);
    }
    bool go_on = true;
    if (queue_length_ > 0) {
      MakeNextCall();
      MutexLock lock(client_->mutex_);
      go_on = !client_->closing_;
    } else {
      go_on = Wait(connection);
    }
    if (connection != nullptr) connection->Release();
    if (!go_on) return;
  }
}

bool ServiceThread::Wait(Connection* connection) {
  Descriptor wake;
  struct pollfd entries[] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}};
  uint64_t wait = UINT64_MAX;
  {
    MutexLock lock(client_->mutex_);
    if (client_->closing_) return false;
    if (client_->connection_ != connection) return true;
    wake = client_->wake_read_end_;
    if (connection == nullptr) {
      entries[1].fd = reconnector_.descriptor();
      wait = reconnector_.due().RemainingNanoseconds();
    } else if (reclaimer_.telling()) {
      entries[1] = {connection->descriptor().number(), POLLIN | POLLOUT, 0};
    } else {
      entries[1].fd = client_->turn_.ServiceWaits(connection, wake);
    }
  }
  if (!wake.StillOurs()) return false;
  entries[0].fd = wake.number();
  Poll(entries, 2, wait);
  socket_was_empty_at_ = MonotonicNanoseconds();
  // The other end hangs up when the host closes all descriptors that it does not know.
  if ((entries[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return false;
  if ((entries[0].revents & POLLIN) != 0 && wake.StillOurs()) {
    char bytes[64];
    ReadDescriptor(wake.number(), bytes, sizeof(bytes));
  }
  AwaitTurn();
  return true;
}

// A caller may have begun to read the connection meanwhile.
void ServiceThread::AwaitTurn() {
  ReadTurn& turn = client_->turn_;
  for (;;) {
    client_->mutex_.Lock();
    const bool ours = turn.ServiceReads();
    const uint32_t seen = turn.Current();
    client_->mutex_.Unlock();
    if (ours) return;
    turn.AwaitChange(seen);
  }
}

npu_ipc_status ServiceThread::NextMessage(Connection* connection, uint64_t connection_id,
                                          Message* message) {
  {
    MutexLock lock(client_->mutex_);
    if (client_->turn_.PopHandedOver(connection_id, message)) return NPU_IPC_OK;
  }
  return connection->TryReceive(message);
}

void ServiceThread::ReadMessages(Connection* connection, uint64_t connection_id) {
  while (queue_length_ < kQueueCapacity) {
    Message message;
    npu_ipc_status status = NextMessage(connection, connection_id, &message);
    if (status == NPU_IPC_TIMED_OUT) {
      socket_was_empty_at_ = MonotonicNanoseconds();
      return;
    }
    if (status == NPU_IPC_OK && !Handle(connection, connection_id, message)) {
      status = NPU_IPC_MALFORMED;
    }
    if (status != NPU_IPC_OK) {
      client_->LoseConnection(connection, status);
      return;
    }
  }
}

bool ServiceThread::Handle(Connection* connection, uint64_t connection_id, const Message& message) {
  switch (message.header.type) {
    case wire::MessageType::kAdmit:
      Enqueue(message.header.type, connection_id).admit = message.admit;
      return true;
    case wire::MessageType::kRotate:
      Enqueue(message.header.type, connection_id).rotate = message.rotate;
      return true;
    case wire::MessageType::kRepublished:
      client_->exporter().Republished(message.republished, connection_id);
      return true;
    case wire::MessageType::kWithdrawing:
      client_->importer().Withdrawing(message.withdrawing, connection_id);
      return true;
    case wire::MessageType::kPeerRelease:
      ReleasePeer(message.peer_release, connection_id);
      return true;
    case wire::MessageType::kRegionChange:
      client_->subscriber().Changed(message.region_change, connection_id);
      return true;
    default:
      break;
  }
  if (reclaimer_.Answered(message, connection_id)) return true;
  if (client_->subscriber().Answered(message, connection_id)) return true;
  const Client::Delivery delivery = client_->Deliver(connection, message);
  if (delivery != Client::Delivery::kNobody) return delivery == Client::Delivery::kDone;
  // Whoever asked has given up: nothing may stay held on its behalf.
  if (message.header.type == wire::MessageType::kGrant) {
    client_->importer().GiveBack(message.grant, connection_id);
  } else if (message.header.type == wire::MessageType::kPublished) {
    client_->exporter().GiveBack(message.published, connection_id);
  } else if (message.header.type == wire::MessageType::kSubscribed) {
    client_->subscriber().GiveBack(message.subscribed, connection_id);
  } else if (message.header.type == wire::MessageType::kRefused && RawLogEnabled()) {
    RawLog(Text("the broker says: ").Append(message.refused.reason));
  }
  return true;
}

void ServiceThread::ReleasePeer(const wire::PeerRelease& release, uint64_t connection_id) {
  // At once and in the order of messages: the grant that follows may enable the pair again. A
  // mapping or a region that the broker does not know (it was restarted) keeps the pair.
  const uint32_t own = release.own_physical_device;
  const uint32_t peer = release.peer_physical_device;
  if (client_->importer().Uses(own, peer)) return;
  if (client_->exporter().UsesUnknown(own, peer, connection_id)) return;
  Text ignored;
  const hal::acl::IpcTable* const vendor = FindVendor(&ignored);
  if (vendor == nullptr) return;
  client_->process().peers.Disable(*vendor, client_->id(), own, peer);
}

ServiceThread::QueuedCall& ServiceThread::Enqueue(wire::MessageType type, uint64_t connection_id) {
  QueuedCall& last = queue_[(queue_first_ + queue_length_++) % kQueueCapacity];
  last.type = type;
  last.connection_id = connection_id;
  last.arrived_at = socket_was_empty_at_;
  return last;
}

// In the order of the messages: whoever was let in before a rotation is on the key that it closes.
void ServiceThread::MakeNextCall() {
  const QueuedCall& queued = queue_[queue_first_];
  if (queued.type == wire::MessageType::kAdmit) {
    const Deadline deadline =
        DeadlineOf(queued.admit.header, queued.admit.deadline_milliseconds, queued.arrived_at);
    client_->exporter().Admit(queued.admit, queued.connection_id, deadline);
  } else {
    const Deadline deadline =
        DeadlineOf(queued.rotate.header, queued.rotate.deadline_milliseconds, queued.arrived_at);
    client_->exporter().Rotate(queued.rotate, queued.connection_id, deadline);
  }
  queue_first_ = (queue_first_ + 1) % kQueueCapacity;
  --queue_length_;
}

}  // namespace npu_ipc::runtime
