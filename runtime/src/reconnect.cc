#include "runtime/src/reconnect.h"

#include "runtime/src/client.h"
#include "runtime/src/raw_log.h"

namespace npu_ipc::runtime {
namespace {

constexpr uint32_t kFirstPauseMilliseconds = 10;
constexpr uint32_t kLongestPauseMilliseconds = 400;
// After a refusal that will be the same in a moment.
constexpr uint32_t kRefusedPauseMilliseconds = 2000;

// A broker of 1.1 refuses such a pod and keeps the connection, so that it can be told what the pod
// holds from when it was allowed to.
bool StaysConnected(const Message& reply) {
  const wire::Status status = reply.refused.status;
  return reply.header.type == wire::MessageType::kRefused && reply.header.speaks_minor >= 1 &&
         (status == wire::Status::kNoGroup || status == wire::Status::kBadAnnotation);
}

}  // namespace

int Reconnector::descriptor() const {
  return greeting_ == nullptr ? -1 : greeting_->descriptor().number();
}

void Reconnector::Step() {
  if (state_ == State::kGreeting) return HearWelcome();
  // Not all clients at the moment that the broker went.
  if (state_ == State::kResting) return Pause(kFirstPauseMilliseconds);
  if (!due_.Passed()) return;
  if (client_->BeginConnecting()) return Greet();
  due_ = Deadline::After(kLongestPauseMilliseconds);  // a caller is at it
}

void Reconnector::Rest() {
  state_ = State::kResting;
  due_ = Deadline::Never();
  pause_ms_ = kFirstPauseMilliseconds;
}

void Reconnector::Greet() {
  npu_ipc_status status = NPU_IPC_OK;
  greeting_ = Connection::Connect(client_->socket_path_, &status);
  {
    MutexLock lock(client_->mutex_);
    client_->greeting_ = greeting_;
  }
  state_ = State::kGreeting;
  due_ = Deadline::After(client_->timeout_ms());
  const wire::Hello hello = client_->MakeHello();
  if (greeting_ != nullptr && greeting_->Send(hello, Deadline::After(0)) == NPU_IPC_OK) return;
  StopGreeting();
  Pause(pause_ms_);
}

void Reconnector::HearWelcome() {
  Message reply = {};
  npu_ipc_status status = greeting_->TryReceive(&reply);
  if (status == NPU_IPC_TIMED_OUT && !due_.Passed()) return;
  Text error;
  if (status == NPU_IPC_OK) status = client_->ReadWelcome(greeting_, reply, &error);
  if (status == NPU_IPC_OK || StaysConnected(reply)) client_->Install(greeting_->Acquire());
  StopGreeting();
  if (status == NPU_IPC_OK) return;
  if (RawLogEnabled()) {
    RawLog(Text("not connected again: ")
               .Append(npu_ipc_status_name(status))
               .Append(" ")
               .Append(error.c_str()));
  }
  const bool refused = reply.header.type == wire::MessageType::kRefused;
  Pause(refused ? kRefusedPauseMilliseconds : pause_ms_);
}

void Reconnector::StopGreeting() {
  if (state_ != State::kGreeting) return;
  {
    MutexLock lock(client_->mutex_);
    client_->greeting_ = nullptr;
  }
  if (greeting_ != nullptr) greeting_->Release();
  greeting_ = nullptr;
  state_ = State::kResting;
  client_->EndConnecting();
}

void Reconnector::Pause(uint32_t milliseconds) {
  state_ = State::kPausing;
  due_ = Deadline::After(Jitter(milliseconds));
  pause_ms_ = pause_ms_ < kLongestPauseMilliseconds / 2 ? pause_ms_ * 2 : kLongestPauseMilliseconds;
}

uint32_t Reconnector::Jitter(uint32_t milliseconds) {
  if (random_ == 0) random_ = MonotonicNanoseconds() ^ reinterpret_cast<uintptr_t>(this);
  random_ ^= random_ << 13;  // xorshift64
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return milliseconds / 2 + static_cast<uint32_t>(random_ % (milliseconds / 2 + 1));
}

}  // namespace npu_ipc::runtime
