// A server's stream that tells its reader of a state. Included by files that npu_ipc_grpc_sources
// names.
#pragma once

#include <grpcpp/grpcpp.h>

#include <mutex>
#include <utility>

namespace npu_ipc {

// One call of a streaming method. At most one message is on its way, so a slow reader skips states
// rather than queueing them, and nobody ever waits for it. Safe for concurrent use. A derived class
// calls StateChanged() once it is made, and deletes itself in OnDone().
template <class Message>
class StateStream : public grpc::ServerWriteReactor<Message> {
 public:
  // Sends what is to be said now, or as soon as the message before has left.
  void StateChanged() {
    const std::lock_guard lock(mutex_);
    if (writing_) {
      changed_while_writing_ = true;
    } else if (!finished_) {
      WriteLocked();
    }
  }

  void OnWriteDone(bool ok) final {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok || cancelled_) {
      FinishLocked(Ended());
    } else if (std::exchange(changed_while_writing_, false)) {
      WriteLocked();
    }
  }

  void OnCancel() final {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (!writing_) FinishLocked(Ended());
  }

 protected:
  void Finish(const grpc::Status& status) {
    const std::lock_guard lock(mutex_);
    FinishLocked(status);
  }

 private:
  // Makes `message`, which may hold the one before, what is to be said now; false where that is
  // nothing. Called by one thread at a time, with the stream locked.
  virtual bool Describe(Message* message) = 0;

  static grpc::Status Ended() { return {grpc::StatusCode::UNAVAILABLE, "the stream has ended"}; }

  void WriteLocked() {
    if (!Describe(&message_)) return;
    writing_ = true;
    this->StartWrite(&message_);
  }

  void FinishLocked(const grpc::Status& status) {
    if (!std::exchange(finished_, true)) grpc::ServerWriteReactor<Message>::Finish(status);
  }

  std::mutex mutex_;
  Message message_;  // gRPC's while writing_
  bool writing_ = false;
  bool changed_while_writing_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

}  // namespace npu_ipc
