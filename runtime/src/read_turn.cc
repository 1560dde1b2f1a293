#include "runtime/src/read_turn.h"

#include <sys/epoll.h>

#include "runtime/src/client.h"

namespace npu_ipc::runtime {
namespace {

constexpr uint32_t kLongestParkMilliseconds = 1000;

}  // namespace

// Never changes anything about an epoll of the host's that took our number: it does not hold our
// files.
bool ReadTurn::Control(int operation, int fd, uint32_t events) const {
  struct epoll_event event = {};
  event.events = events;
  return SystemCall(SYS_epoll_ctl, epoll_, operation, fd, &event) == 0;
}

int ReadTurn::ServiceWaits(const Connection* connection, const Descriptor& wake) {
  if (connection == nullptr) return -1;
  const int socket = connection->descriptor().number();
  if (wanted_ && epoll_ < 0) {
    epoll_ = static_cast<int>(SystemCall(SYS_epoll_create1, EPOLL_CLOEXEC));
    wake_ = wake.number();
    if (epoll_ >= 0 && !Control(EPOLL_CTL_ADD, wake_, 0)) {
      CloseDescriptor(epoll_);
      epoll_ = -1;
    }
  }
  if (epoll_ >= 0 && !Control(EPOLL_CTL_MOD, wake_, 0)) {
    // The host has closed it, or put a file of its own there.
    epoll_ = -1;
    watched_ = nullptr;
  }
  if (epoll_ < 0) return socket;
  if (watched_ != connection && Control(EPOLL_CTL_ADD, socket, EPOLLIN)) watched_ = connection;
  if (watched_ != connection) return socket;
  waiting_for_ = connection;
  return epoll_;
}

bool ReadTurn::ServiceReads() {
  if (caller_reads_) return false;
  waiting_for_ = nullptr;
  return true;
}

bool ReadTurn::Take(const Connection* connection) {
  wanted_ = true;
  if (caller_reads_ || waiting_for_ != connection) return false;
  caller_reads_ = Control(EPOLL_CTL_MOD, connection->descriptor().number(), 0);
  return caller_reads_;
}

void ReadTurn::GiveBack() {
  caller_reads_ = false;
  if (watched_ != nullptr) Control(EPOLL_CTL_MOD, watched_->descriptor().number(), EPOLLIN);
  changed_.Announce();
}

void ReadTurn::HandOver(const Message& message, uint64_t connection_id) {
  handed_over_ = message;
  handed_over_from_ = connection_id;
  waiting_for_ = nullptr;  // nobody else reads before it is handled
}

bool ReadTurn::PopHandedOver(uint64_t connection_id, Message* message) {
  const bool ours = handed_over_from_ != 0 && handed_over_from_ == connection_id;
  if (ours) *message = handed_over_;
  handed_over_from_ = 0;
  return ours;
}

void ReadTurn::Forget(const Connection* connection) {
  if (watched_ != connection) return;
  // Closing would not do it where a forked child has the socket, too.
  Control(EPOLL_CTL_DEL, connection->descriptor().number(), 0);
  watched_ = nullptr;
  waiting_for_ = nullptr;
}

void ReadTurn::Close() {
  if (epoll_ >= 0 && Control(EPOLL_CTL_MOD, wake_, 0)) CloseDescriptor(epoll_);
  epoll_ = -1;
  watched_ = nullptr;
  waiting_for_ = nullptr;
}

void ReadTurn::AwaitChange(uint32_t seen) const {
  changed_.WaitWhile(seen, Deadline::After(kLongestParkMilliseconds));
}

// As the service thread does, until the answer to `request` is there, or `deadline`, or something
// comes that the service thread has to handle. REQUIRES: the caller has the turn; it has not
// afterwards.
void Client::ReadUntilDone(Connection* connection, const PendingRequest& request,
                           Deadline deadline) {
  Descriptor wake;
  uint64_t connection_id = 0;
  {
    MutexLock lock(mutex_);
    wake = wake_read_end_;
    connection_id = connection_id_;
  }
  bool handed_over = false;
  Message message;
  while (!handed_over && request.done_.load(std::memory_order_acquire) == 0) {
    // The wake pipe hangs up when the host closes all descriptors: nobody would read on for us.
    struct pollfd entries[] = {{connection->descriptor().number(), POLLIN, 0},
                               {wake.number(), 0, 0}};
    const int ready = Poll(entries, 2, deadline.RemainingNanoseconds());
    if (ready == 0 || entries[1].revents != 0) break;
    npu_ipc_status status = connection->TryReceive(&message);
    if (status == NPU_IPC_TIMED_OUT) continue;  // of a type that we do not know
    if (status == NPU_IPC_OK) {
      // What the broker asks has a number of the broker's, which may be one of ours, too.
      const Delivery delivery =
          IsAnswer(message) ? Deliver(connection, message) : Delivery::kNobody;
      handed_over = delivery == Delivery::kNobody;
      if (delivery == Delivery::kWrongType) status = NPU_IPC_MALFORMED;
    }
    if (status != NPU_IPC_OK) {
      LoseConnection(connection, status);
      break;
    }
  }
  {
    MutexLock lock(mutex_);
    if (handed_over) turn_.HandOver(message, connection_id);
    turn_.GiveBack();
  }
  if (handed_over) WakeThread();
}

}  // namespace npu_ipc::runtime
