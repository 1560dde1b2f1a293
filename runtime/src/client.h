// A program's client: its connection to the broker, the requests that wait for answers, and what it
// shares.
//
// One lock guards a client's tables; it is held for table operations only. Before the first publish
// or attach the calling thread talks to the broker itself. From then on the service thread
// (service_thread.h) reads the socket and callers wait for it on a futex, or a caller reads it in
// its stead (read_turn.h).
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <atomic>

#include "runtime/include/npu_ipc.h"
#include "runtime/src/connection.h"
#include "runtime/src/deadline.h"
#include "runtime/src/event_queue.h"
#include "runtime/src/exporter.h"
#include "runtime/src/futex.h"
#include "runtime/src/importer.h"
#include "runtime/src/list.h"
#include "runtime/src/message.h"
#include "runtime/src/process_state.h"
#include "runtime/src/read_turn.h"
#include "runtime/src/subscription.h"
#include "runtime/src/text.h"

namespace npu_ipc::runtime {

// A request that waits for its answer; on the stack of the thread that asks.
struct PendingRequest : ListLink<PendingRequest> {
  // What is asked: a whole message, but for its request id.
  Message message = {};
  // What answers it, besides Refused.
  wire::MessageType answer = wire::MessageType::kWelcome;
  // Whether the caller may read the answer itself, where that is the shorter way (read_turn.h).
  bool read_by_caller = false;
  // Called with the answer by whoever reads it, under the client's lock, before the next message
  // is read: what the answer names must be in our tables when the broker speaks of it again.
  void (*on_answer)(void* object, const Message& reply, uint64_t connection_id) = nullptr;
  void* object = nullptr;

  // OK with the answer in `reply`, or how it ended without one.
  npu_ipc_status outcome = NPU_IPC_OK;
  Message reply = {};

 private:
  friend class Client;
  Connection* connection_ = nullptr;
  std::atomic<uint32_t> done_{0};
};

// Where this process finds the broker: $NPU_IPC_SOCKET, else where containers have it.
const char* SocketPathOfProcess();

class Client {
 public:
  // npu_ipc_open. A broker that is not there is waited for as long as the timeout, or not at all.
  enum class Absence { kWait, kFail };
  static npu_ipc_status Open(const char* socket_path, uint32_t timeout_ms, Absence absence,
                             Client** result);
  // npu_ipc_close: ends the client. In a forked child only its descriptors are closed.
  void Close();

  bool InItsProcess() const;
  npu_ipc_status WhoAmI(npu_ipc_identity* identity);

  // Sends a request and waits for its answer until `deadline`; (re)connects, starting the service
  // thread where it does not run, as long as that lasts. A refusal is returned as its status. On
  // failure the last error is set.
  npu_ipc_status Request(PendingRequest* request, Deadline deadline);
  // The same, over the connection with this id or not at all (DISCONNECTED).
  npu_ipc_status RequestOver(uint64_t connection_id, PendingRequest* request, Deadline deadline);
  // Sends a message that nobody answers, over the connection with this id or not at all.
  npu_ipc_status Tell(uint64_t connection_id, const void* message, size_t bytes);
  // The same without waiting for room: where there is none, the connection is given up, and over
  // the next one the broker is told how things stand.
  npu_ipc_status TellAtOnce(uint64_t connection_id, const void* message, size_t bytes);
  // Makes sure that there is a connection and a thread that reads it. On failure the last error is
  // set.
  npu_ipc_status EnsureConnected(Deadline deadline);
  // With the lock held: the current or the last connection, and whether its broker can be told what
  // was shared before.
  uint64_t connection_id() const { return connection_id_; }
  bool BrokerTakesClaims() const {
    return connection_ != nullptr && connection_->broker_minor() >= 1;
  }
  // Counts connections that come and go, and answers to what was told over a new one.
  ChangeCount& changed() { return changed_; }
  // Gives up the connection that is there: what is shared is told over the next one.
  void Reconnect();
  bool Connected();
  // What the last Welcome said.
  int32_t HostPid();
  void CopyGroups(char (&groups)[sizeof(wire::Welcome::groups)]);
  // The group that the pod is in, where it is in one alone and `group` is empty: what is meant by
  // an empty name may be another one later.
  void NameGroup(const char* group, char (&named)[wire::kNameBytes]);

  // A request id that no answer is awaited for.
  uint64_t NextRequestId() { return next_request_id_.fetch_add(1, std::memory_order_relaxed); }

  // Records what failed, for npu_ipc_last_error, and returns `status`. For the program's calls
  // only.
  npu_ipc_status Fail(npu_ipc_status status, const Text& error, int32_t vendor_code = 0);
  void CopyLastError(char* text, size_t bytes);
  int32_t LastVendorCode();

  npu_ipc_status NextEvent(Deadline deadline, npu_ipc_event* event);
  int EventDescriptor();

  uint64_t id() const { return id_; }
  uint32_t timeout_ms() const { return timeout_ms_; }
  ProcessState& process() { return *process_; }
  Exporter& exporter() { return exporter_; }
  Importer& importer() { return importer_; }
  Subscriber& subscriber() { return subscriber_; }
  Mutex& mutex() { return mutex_; }
  // Guarded by mutex(); whoever pushes an event calls AnnounceEvent after it.
  EventQueue& events() { return events_; }
  void AnnounceEvent() { events_changed_.Announce(); }
  uint32_t CurrentEventCount() const { return events_changed_.Current(); }
  // Returns once an event has been announced since `seen`, at `deadline`, or earlier.
  void AwaitEvent(uint32_t seen, Deadline deadline) { events_changed_.WaitWhile(seen, deadline); }
  // The minor version of the protocol that the last broker speaks.
  uint32_t BrokerMinor();
  // Makes the service thread look for something to do.
  void WakeThread();

 private:
  friend class ServiceThread;
  friend class Reconnector;
  friend class Reclaimer;
  template <class T, class... Arguments>
  friend T* New(Arguments&&... arguments);
  template <class T>
  friend void Delete(T* object);

  explicit Client(ProcessState* process);
  ~Client();
  void ReleaseReference();

  // Connects and introduces this process, again and again until `deadline`; once, where absence is
  // to fail and nobody listens.
  npu_ipc_status Handshake(Deadline deadline, Absence absence, Connection** result);
  npu_ipc_status Introduce(Connection* connection, Deadline deadline, Text* error);
  wire::Hello MakeHello();
  // OK where `reply` is a Welcome, which is noted; else why not, in `*error` too.
  npu_ipc_status ReadWelcome(Connection* connection, const Message& reply, Text* error);
  npu_ipc_status StartThread();
  // False where somebody connects already, or nobody is to any more.
  bool BeginConnecting();
  void EndConnecting();
  // Installs a new connection; takes the reference.
  void Install(Connection* connection);
  // What follows when `connection` is no good any more: the requests on it end with `outcome`. What
  // it was used to share stays, and is told over the next one (reclaim.h).
  void LoseConnection(Connection* connection, npu_ipc_status outcome);

  npu_ipc_status Exchange(Connection* connection, PendingRequest* request, Deadline deadline);
  void ReadUntilDone(Connection* connection, const PendingRequest& request, Deadline deadline);
  npu_ipc_status Conclude(Connection* connection, const PendingRequest& request);
  npu_ipc_status TellWithin(Deadline deadline, uint64_t connection_id, const void* message,
                            size_t bytes);
  // The current connection, with a reference, or null.
  Connection* AcquireConnection(uint64_t* id);
  // The same, or null where the current one is not `id`.
  Connection* AcquireConnectionOf(uint64_t id);
  uint64_t CurrentConnectionId();
  // Gives an answer to the request that waits for it. kNobody: none does.
  enum class Delivery { kDone, kNobody, kWrongType };
  Delivery Deliver(Connection* connection, const Message& message);
  void Finish(PendingRequest* request, npu_ipc_status outcome);

  const pid_t pid_;
  ProcessState* const process_;
  const uint64_t id_;  // no other client of this process has had it
  char socket_path_[108] = {};
  uint32_t timeout_ms_ = 0;
  std::atomic<uint32_t> references_{1};  // the program's, and the thread's
  std::atomic<uint64_t> next_request_id_{1};

  Mutex mutex_;
  // The members below are guarded by mutex_.
  ChangeCount changed_;         // a connection came or went, or the thread ended
  ChangeCount events_changed_;  // an event came
  Connection* connection_ = nullptr;
  uint64_t connection_id_ = 0;      // of the current or the last connection
  Connection* greeting_ = nullptr;  // the service thread's, which waits for its Welcome
  bool something_lost_ = false;     // a connection was, and no other has been used since
  bool connecting_ = false;         // a caller is in Handshake, or the thread greets
  bool closing_ = false;
  bool thread_running_ = false;
  Descriptor wake_read_end_;  // read by the thread, which closes both ends
  Descriptor wake_write_end_;
  ReadTurn turn_;
  List<PendingRequest> pending_;
  npu_ipc_status open_status_ = NPU_IPC_OK;
  wire::Welcome identity_ = {};
  Text last_error_;
  int32_t last_vendor_code_ = 0;
  EventQueue events_;
  EventSource connection_event_;
  Exporter exporter_;
  Importer importer_;
  Subscriber subscriber_;
};

}  // namespace npu_ipc::runtime
