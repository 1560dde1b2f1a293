#include "runtime/src/client.h"

#include <stdlib.h>

#include "runtime/src/memory.h"
#include "runtime/src/raw_log.h"
#include "runtime/src/service_thread.h"
#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {
namespace {

constexpr uint32_t kFirstPauseMilliseconds = 5;
constexpr uint32_t kLongestPauseMilliseconds = 200;

// Worth another try while the caller's wait lasts.
bool Transient(npu_ipc_status status) {
  return status == NPU_IPC_NO_BROKER || status == NPU_IPC_DISCONNECTED ||
         status == NPU_IPC_SHUTTING_DOWN || status == NPU_IPC_RECONNECT;
}

// Waits longer each time, so that a broker that is down or refuses at once is not hammered.
class BackOff {
 public:
  explicit BackOff(Deadline deadline) : deadline_(deadline) {}
  // False when the wait has ended.
  bool Pause() {
    if (deadline_.Passed()) return false;
    const Deadline until = deadline_.AtMost(pause_);
    const std::atomic<uint32_t> nobody_wakes{0};
    while (!until.Passed()) FutexWait(nobody_wakes, 0, until);
    if (pause_ < kLongestPauseMilliseconds) pause_ *= 2;
    return true;
  }

 private:
  const Deadline deadline_;
  uint32_t pause_ = kFirstPauseMilliseconds;
};

npu_ipc_status FromWire(wire::Status status) {
  const auto value = static_cast<int32_t>(status);
  const bool known = value > 0 && value <= static_cast<int32_t>(wire::kLastStatus);
  return known ? static_cast<npu_ipc_status>(value) : NPU_IPC_INTERNAL;
}

// How long the broker may wait: a little less than the caller does, so that its answer, which names
// what was missing, arrives in time.
uint32_t BrokerWait(Deadline deadline) {
  if (deadline.never()) return UINT32_MAX;
  const uint64_t remaining = deadline.RemainingNanoseconds() / 1000000U;
  const uint64_t margin = remaining / 10 < 100 ? remaining / 10 : 100;
  const uint64_t wait = remaining - margin;
  return wait < UINT32_MAX ? static_cast<uint32_t>(wait) : UINT32_MAX - 1;
}

Text NoAnswer(const char* socket_path) {
  Text text("the broker at ");
  text.Append(socket_path).Append(" did not answer in time; is npu-ipc-broker healthy?");
  return text;
}

Text NotConnected(npu_ipc_status status, const char* socket_path) {
  if (status == NPU_IPC_INVALID_ARGUMENT) {
    Text text("the socket path is empty, or longer than 107 bytes: ");
    return text.Append(socket_path);
  }
  if (status == NPU_IPC_NO_MEMORY) return Text("the host is out of memory or descriptors");
  Text text("nobody listens at ");
  return text.Append(socket_path)
      .Append("; does this container have the npu-ipc mounts, and does npu-ipc-broker run?");
}

}  // namespace

const char* SocketPathOfProcess() {
  const char* const from_environment = ::secure_getenv(wire::kSocketPathVariable);
  const bool set = from_environment != nullptr && from_environment[0] != '\0';
  return set ? from_environment : wire::kDefaultSocketPath;
}

Client::Client(ProcessState* process)
    : pid_(process->pid),
      process_(process),
      id_(process->next_client_id.fetch_add(1, std::memory_order_relaxed)),
      exporter_(this),
      importer_(this),
      subscriber_(this) {}

Client::~Client() {
  if (connection_ != nullptr) connection_->Release();
}

npu_ipc_status Client::Open(const char* socket_path, uint32_t timeout_ms, Absence absence,
                            Client** result) {
  OpenRawLog();
  ProcessState* const process = ThisProcess();
  Client* const client = process == nullptr ? nullptr : New<Client>(process);
  if (client == nullptr) return NPU_IPC_NO_MEMORY;
  client->timeout_ms_ = timeout_ms;
  *result = client;
  if (strlen(socket_path) >= sizeof(client->socket_path_)) {
    client->open_status_ =
        client->Fail(NPU_IPC_INVALID_ARGUMENT, NotConnected(NPU_IPC_INVALID_ARGUMENT, socket_path));
    return client->open_status_;
  }
  CopyText(client->socket_path_, sizeof(client->socket_path_), socket_path);
  Connection* connection = nullptr;
  const npu_ipc_status status =
      client->Handshake(Deadline::After(timeout_ms), absence, &connection);
  client->open_status_ = status;
  if (status == NPU_IPC_OK) client->Install(connection);
  return status;
}

bool Client::InItsProcess() const { return ProcessId() == pid_; }

void Client::ReleaseReference() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) Delete(this);
}

void Client::Close() {
  if (!InItsProcess()) {
    // A forked child: locks may be held for ever, and lists half changed, by threads that it does
    // not have. Its copies of the objects are left alone; only its descriptors are given back.
    if (connection_ != nullptr) Descriptor(connection_->descriptor()).Close();
    if (greeting_ != nullptr) Descriptor(greeting_->descriptor()).Close();
    turn_.Close();  // before the wake pipe, by which it knows that its descriptor is still its own
    wake_read_end_.Close();
    wake_write_end_.Close();
    events_.CloseDescriptors();
    ::free(this);
    return;
  }
  exporter_.CloseAll();
  mutex_.Lock();
  closing_ = true;
  const bool mapped = !importer_.empty();
  mutex_.Unlock();
  WakeThread();
  // A vendor call that hangs on the thread must not hang its host: the thread then frees us itself.
  const Deadline deadline = Deadline::After(timeout_ms_);
  for (;;) {
    mutex_.Lock();
    const bool running = thread_running_;
    const uint32_t seen = changed_.Current();
    mutex_.Unlock();
    if (!running || deadline.Passed()) break;
    changed_.WaitWhile(seen, deadline);
  }
  mutex_.Lock();
  Connection* const connection = connection_;
  connection_ = nullptr;
  events_.CloseDescriptors();  // now, not with the thread's reference
  mutex_.Unlock();
  if (connection != nullptr) {
    connection->Shutdown();
    connection->Release();
  }
  // Mappings that were not detached stay, and with them the peer access that they need.
  Text ignored;
  const hal::acl::IpcTable* const vendor = mapped ? nullptr : FindVendor(&ignored);
  if (vendor != nullptr) process_->peers.DisableAll(*vendor, id_);
  ReleaseReference();
}

uint32_t Client::BrokerMinor() {
  MutexLock lock(mutex_);
  return identity_.header.speaks_minor;
}

bool Client::Connected() {
  MutexLock lock(mutex_);
  return connection_ != nullptr;
}

int32_t Client::HostPid() {
  MutexLock lock(mutex_);
  return identity_.host_pid;
}

void Client::CopyGroups(char (&groups)[sizeof(wire::Welcome::groups)]) {
  MutexLock lock(mutex_);
  memcpy(groups, identity_.groups, sizeof(groups));
}

void Client::Reconnect() {
  uint64_t id = 0;
  Connection* const connection = AcquireConnection(&id);
  if (connection == nullptr) return;
  LoseConnection(connection, NPU_IPC_DISCONNECTED);
  connection->Release();
}

npu_ipc_status Client::WhoAmI(npu_ipc_identity* identity) {
  MutexLock lock(mutex_);
  if (open_status_ != NPU_IPC_OK) return open_status_;
  identity->pid = pid_;
  identity->host_pid = identity_.host_pid;
  CopyText(identity->pod_namespace, sizeof(identity->pod_namespace), identity_.pod_namespace);
  CopyText(identity->pod_name, sizeof(identity->pod_name), identity_.pod_name);
  CopyText(identity->pod_uid, sizeof(identity->pod_uid), identity_.pod_uid);
  CopyText(identity->container_id, sizeof(identity->container_id), identity_.container_id);
  CopyText(identity->container_name, sizeof(identity->container_name), identity_.container_name);
  CopyText(identity->groups, sizeof(identity->groups), identity_.groups);
  return NPU_IPC_OK;
}

npu_ipc_status Client::Fail(npu_ipc_status status, const Text& error, int32_t vendor_code) {
  {
    MutexLock lock(mutex_);
    last_error_ = error;
    if (vendor_code != 0) last_vendor_code_ = vendor_code;
  }
  if (RawLogEnabled()) RawLog(Text(npu_ipc_status_name(status)).Append(": ").Append(error.c_str()));
  return status;
}

void Client::CopyLastError(char* text, size_t bytes) {
  MutexLock lock(mutex_);
  CopyText(text, bytes, last_error_.c_str());
}

int32_t Client::LastVendorCode() {
  MutexLock lock(mutex_);
  return last_vendor_code_;
}

npu_ipc_status Client::NextEvent(Deadline deadline, npu_ipc_event* event) {
  for (;;) {
    mutex_.Lock();
    const bool popped = events_.Pop(event);
    const uint32_t seen = events_changed_.Current();
    mutex_.Unlock();
    if (popped) return NPU_IPC_OK;
    if (deadline.Passed()) return NPU_IPC_NO_EVENT;
    events_changed_.WaitWhile(seen, deadline);
  }
}

int Client::EventDescriptor() {
  MutexLock lock(mutex_);
  return events_.ReadableDescriptor();
}

npu_ipc_status Client::Handshake(Deadline deadline, Absence absence, Connection** result) {
  BackOff back_off(deadline);
  for (;;) {
    Text error;
    npu_ipc_status status = NPU_IPC_OK;
    Connection* const connection = Connection::Connect(socket_path_, &status);
    if (connection != nullptr) {
      status = Introduce(connection, deadline, &error);
      if (status == NPU_IPC_OK) {
        *result = connection;
        return status;
      }
      connection->Release();
    }
    if (error.empty()) error = NotConnected(status, socket_path_);
    const bool final = absence == Absence::kFail && status == NPU_IPC_NO_BROKER;
    if (final || !Transient(status) || !back_off.Pause()) {
      return Fail(status == NPU_IPC_RECONNECT ? NPU_IPC_DISCONNECTED : status, error);
    }
  }
}

wire::Hello Client::MakeHello() {
  wire::Hello hello = {};
  hello.header = MakeHeader<wire::Hello>(wire::MessageType::kHello, NextRequestId());
  hello.header.speaks_minor = wire::kVersionMinor;
  hello.claimed_pid = pid_;
  Text ignored;
  const hal::acl::IpcTable* const vendor = FindVendor(&ignored);
  // acl: reports success and -1 where the driver does not answer.
  int32_t bare_tgid = 0;
  if (vendor != nullptr && vendor->get_bare_tgid != nullptr &&
      vendor->get_bare_tgid(&bare_tgid) == hal::acl::kSuccess && bare_tgid > 0) {
    hello.claimed_bare_tgid = bare_tgid;
  }
  CopyText(hello.library_version, sizeof(hello.library_version), npu_ipc_version());
  return hello;
}

npu_ipc_status Client::ReadWelcome(Connection* connection, const Message& reply, Text* error) {
  if (reply.header.type == wire::MessageType::kRefused) {
    *error = Text(reply.refused.reason);
    connection->set_broker_minor(reply.header.speaks_minor);
    return FromWire(reply.refused.status);
  }
  if (reply.header.type != wire::MessageType::kWelcome) return NPU_IPC_MALFORMED;
  connection->set_broker_minor(reply.header.speaks_minor);
  MutexLock lock(mutex_);
  identity_ = reply.welcome;
  return NPU_IPC_OK;
}

npu_ipc_status Client::Introduce(Connection* connection, Deadline deadline, Text* error) {
  npu_ipc_status status = connection->Send(MakeHello(), deadline);
  Message reply = {};
  if (status == NPU_IPC_OK) status = connection->Receive(&reply, deadline);
  if (status == NPU_IPC_OK) {
    status = ReadWelcome(connection, reply, error);
    if (status == NPU_IPC_OK || !error->empty()) return status;
  }
  if (status == NPU_IPC_TIMED_OUT) {
    *error = NoAnswer(socket_path_);
  } else if (status == NPU_IPC_MALFORMED) {
    *error = Text("the broker's answer makes no sense to this version of libnpu_ipc");
  } else if (status == NPU_IPC_DISCONNECTED) {
    *error = Text("the broker closed the connection without an answer");
  }
  return status;
}

npu_ipc_status Client::EnsureConnected(Deadline deadline) {
  for (;;) {
    mutex_.Lock();
    const npu_ipc_status opened = open_status_;
    const bool ready = connection_ != nullptr && thread_running_;
    const bool my_turn = !connecting_;
    if (opened == NPU_IPC_OK && !ready && my_turn) break;
    const uint32_t seen = changed_.Current();
    mutex_.Unlock();
    if (opened != NPU_IPC_OK || ready) return opened;
    if (deadline.Passed()) return Fail(NPU_IPC_TIMED_OUT, NoAnswer(socket_path_));
    changed_.WaitWhile(seen, deadline);
  }
  connecting_ = true;
  const bool connected = connection_ != nullptr;
  mutex_.Unlock();

  npu_ipc_status status = NPU_IPC_OK;
  if (!connected) {
    Connection* connection = nullptr;
    status = Handshake(deadline, Absence::kWait, &connection);
    if (status == NPU_IPC_OK) Install(connection);
  }
  if (status == NPU_IPC_OK) status = StartThread();
  EndConnecting();
  if (status != NPU_IPC_OK) WakeThread();  // it goes on trying
  return status;
}

bool Client::BeginConnecting() {
  MutexLock lock(mutex_);
  if (connection_ != nullptr || connecting_ || closing_ || open_status_ != NPU_IPC_OK) return false;
  connecting_ = true;
  return true;
}

void Client::EndConnecting() {
  {
    MutexLock lock(mutex_);
    connecting_ = false;
  }
  changed_.Announce();
}

void Client::NameGroup(const char* group, char (&named)[wire::kNameBytes]) {
  CopyText(named, sizeof(named), group);
  MutexLock lock(mutex_);
  if (group[0] != '\0' || identity_.group_count != 1) return;
  CopyText(named, sizeof(named), identity_.groups);
  char* const role = ::strrchr(named, ':');
  if (role != nullptr) *role = '\0';
}

npu_ipc_status Client::StartThread() {
  int ends[2] = {-1, -1};
  {
    MutexLock lock(mutex_);
    if (thread_running_) return NPU_IPC_OK;
    if (MakePipe(ends) == 0) {
      wake_read_end_ = Descriptor(ends[0]);
      wake_write_end_ = Descriptor(ends[1]);
      thread_running_ = true;
    }
  }
  if (ends[0] < 0) {
    return Fail(NPU_IPC_NO_MEMORY, Text("no descriptors left for the library's thread"));
  }
  references_.fetch_add(1, std::memory_order_relaxed);
  if (ServiceThread::Start(this)) return NPU_IPC_OK;
  {
    MutexLock lock(mutex_);
    thread_running_ = false;
    wake_read_end_.Close();
    wake_write_end_.Close();
  }
  ReleaseReference();
  return Fail(NPU_IPC_NO_MEMORY, Text("the library's thread could not be started: no threads or "
                                      "memory left, or a program without libpthread"));
}

void Client::WakeThread() {
  MutexLock lock(mutex_);
  const char byte = 0;
  if (thread_running_ && wake_write_end_.StillOurs()) {
    WriteDescriptor(wake_write_end_.number(), &byte, 1);  // full: it is awake already
  }
}

void Client::Install(Connection* connection) {
  {
    MutexLock lock(mutex_);
    connection_ = connection;
    ++connection_id_;
  }
  WakeThread();
}

Connection* Client::AcquireConnection(uint64_t* id) {
  MutexLock lock(mutex_);
  *id = connection_id_;
  return connection_ == nullptr ? nullptr : connection_->Acquire();
}

Connection* Client::AcquireConnectionOf(uint64_t id) {
  MutexLock lock(mutex_);
  return connection_ != nullptr && connection_id_ == id ? connection_->Acquire() : nullptr;
}

uint64_t Client::CurrentConnectionId() {
  MutexLock lock(mutex_);
  return connection_id_;
}

void Client::LoseConnection(Connection* connection, npu_ipc_status outcome) {
  mutex_.Lock();
  if (connection_ != connection) {
    mutex_.Unlock();
    return;
  }
  connection_ = nullptr;
  turn_.Forget(connection);
  for (PendingRequest* request = pending_.front(); request != nullptr;) {
    PendingRequest* const next = pending_.Next(request);
    if (request->connection_ == connection) Finish(request, outcome);
    request = next;
  }
  subscriber_.LoseAll();
  something_lost_ = true;
  events_.Push(&connection_event_, NPU_IPC_EVENT_DISCONNECTED);
  mutex_.Unlock();
  changed_.Announce();
  AnnounceEvent();
  WakeThread();  // it may not be waiting for this connection's end
  if (RawLogEnabled()) RawLog(Text("disconnected: ").Append(npu_ipc_status_name(outcome)));
  connection->Shutdown();
  connection->Release();
}

void Client::Finish(PendingRequest* request, npu_ipc_status outcome) {
  pending_.Remove(request);
  request->outcome = outcome;
  request->done_.store(1, std::memory_order_release);
  FutexWake(request->done_, 1);
}

Client::Delivery Client::Deliver(Connection* connection, const Message& message) {
  MutexLock lock(mutex_);
  PendingRequest* request = pending_.front();
  while (request != nullptr && (request->connection_ != connection ||
                                request->message.header.request_id != message.header.request_id)) {
    request = pending_.Next(request);
  }
  if (request == nullptr) return Delivery::kNobody;
  const bool answered = message.header.type == request->answer;
  if (!answered && message.header.type != wire::MessageType::kRefused) return Delivery::kWrongType;
  request->reply = message;
  if (answered && request->on_answer != nullptr) {
    request->on_answer(request->object, message, connection_id_);
  }
  Finish(request, NPU_IPC_OK);
  return Delivery::kDone;
}

npu_ipc_status Client::Exchange(Connection* connection, PendingRequest* request,
                                Deadline deadline) {
  Message& message = request->message;
  message.header.request_id = NextRequestId();
  if (message.header.type == wire::MessageType::kAttach ||
      message.header.type == wire::MessageType::kAttachPublished) {
    message.attach.wait_milliseconds = BrokerWait(deadline);
  }
  request->connection_ = connection;
  request->done_.store(0, std::memory_order_relaxed);
  bool reads = false;
  {
    MutexLock lock(mutex_);
    if (connection_ != connection) return NPU_IPC_DISCONNECTED;
    pending_.PushBack(request);
    reads = request->read_by_caller && turn_.Take(connection);
  }
  const npu_ipc_status sent = connection->Send(&message, message.header.bytes, deadline);
  if (sent == NPU_IPC_DISCONNECTED) LoseConnection(connection, sent);
  if (reads)
    ReadUntilDone(connection, *request, sent == NPU_IPC_OK ? deadline : Deadline::After(0));
  while (sent == NPU_IPC_OK && request->done_.load(std::memory_order_acquire) == 0 &&
         !deadline.Passed()) {
    FutexWait(request->done_, 0, deadline);
  }
  MutexLock lock(mutex_);
  pending_.Remove(request);  // an answer that comes later is given back: service_thread.cc
  if (sent != NPU_IPC_OK) return sent;
  return request->done_.load(std::memory_order_acquire) != 0 ? request->outcome : NPU_IPC_TIMED_OUT;
}

npu_ipc_status Client::Conclude(Connection* connection, const PendingRequest& request) {
  if (request.reply.header.type != wire::MessageType::kRefused) return NPU_IPC_OK;
  const wire::Refused& refused = request.reply.refused;
  const npu_ipc_status status = FromWire(refused.status);
  Fail(status, Text(refused.reason), refused.vendor_code);
  if (Transient(status) || status == NPU_IPC_MALFORMED || status == NPU_IPC_VERSION_MISMATCH) {
    LoseConnection(connection, NPU_IPC_DISCONNECTED);
  }
  return status;
}

npu_ipc_status Client::Request(PendingRequest* request, Deadline deadline) {
  BackOff back_off(deadline);
  for (;;) {
    npu_ipc_status status = EnsureConnected(deadline);
    if (status != NPU_IPC_OK) return status;
    status = RequestOver(CurrentConnectionId(), request, deadline);
    if (!Transient(status)) return status;
    if (!back_off.Pause()) return status == NPU_IPC_RECONNECT ? NPU_IPC_DISCONNECTED : status;
  }
}

npu_ipc_status Client::RequestOver(uint64_t connection_id, PendingRequest* request,
                                   Deadline deadline) {
  Connection* const connection = AcquireConnectionOf(connection_id);
  npu_ipc_status status = NPU_IPC_DISCONNECTED;
  if (connection != nullptr) status = Exchange(connection, request, deadline);
  if (status == NPU_IPC_OK) {
    status = Conclude(connection, *request);
  } else if (status == NPU_IPC_TIMED_OUT) {
    Fail(status, NoAnswer(socket_path_));
  } else if (status == NPU_IPC_MALFORMED) {
    Fail(status, Text("the broker sent what makes no sense to this version of libnpu_ipc"));
  } else {
    Fail(status, Text("the broker went away during the call"));
  }
  if (connection != nullptr) connection->Release();
  return status;
}

npu_ipc_status Client::Tell(uint64_t connection_id, const void* message, size_t bytes) {
  return TellWithin(Deadline::After(timeout_ms_), connection_id, message, bytes);
}

npu_ipc_status Client::TellAtOnce(uint64_t connection_id, const void* message, size_t bytes) {
  return TellWithin(Deadline::After(0), connection_id, message, bytes);
}

npu_ipc_status Client::TellWithin(Deadline deadline, uint64_t connection_id, const void* message,
                                  size_t bytes) {
  Connection* const connection = AcquireConnectionOf(connection_id);
  if (connection == nullptr) return NPU_IPC_DISCONNECTED;
  const npu_ipc_status status = connection->Send(message, bytes, deadline);
  // A broker that does not read for that long cannot be told in order any more.
  if (status != NPU_IPC_OK) LoseConnection(connection, NPU_IPC_DISCONNECTED);
  connection->Release();
  return status;
}

}  // namespace npu_ipc::runtime
