#include "hal/sim/libruntime/contexts.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace npu_ipc::sim {
namespace {

struct ThreadContext {
  const Contexts* of = nullptr;  // a forked child has other Contexts: what it inherited is void
  const void* handle = nullptr;
};

ThreadContext& ThisThread() {
  thread_local ThreadContext context;
  return context;
}

int32_t NextStreamId() {
  static std::atomic<int32_t> next{0};
  return next.fetch_add(1);
}

RtStatus NoContext() {
  return RtStatus(
      ACL_ERROR_RT_CONTEXT_NULL,
      "this thread has no context: call aclrtSetDevice or aclrtSetCurrentContext first, "
      "and see that it succeeds");
}

RtStatus DeadContext() {
  return RtStatus(ACL_ERROR_RT_CONTEXT_NULL,
                  "no such context: it has been destroyed, or never was");
}

}  // namespace

RtResult<std::shared_ptr<Stream>> Context::DefaultStream() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (default_stream_ == nullptr) {
    RtResult<std::shared_ptr<Stream>> stream = Stream::Create(NextStreamId());
    if (!stream.ok()) return stream;
    default_stream_ = *stream;
    streams_.push_back(default_stream_);
  }
  return default_stream_;
}

RtResult<std::shared_ptr<Stream>> Context::NewStream() {
  RtResult<std::shared_ptr<Stream>> stream = Stream::Create(NextStreamId());
  if (!stream.ok()) return stream;
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.push_back(*stream);
  return stream;
}

void Context::Forget(const std::shared_ptr<Stream>& stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.erase(std::remove(streams_.begin(), streams_.end(), stream), streams_.end());
}

std::vector<std::shared_ptr<Stream>> Context::Streams() {
  std::lock_guard<std::mutex> lock(mutex_);
  return streams_;
}

RtStatus Context::Synchronize(int32_t timeout_ms) {
  RtStatus first;
  for (const std::shared_ptr<Stream>& stream : Streams()) {
    RtStatus status = stream->Synchronize(timeout_ms);
    if (first.ok()) first = std::move(status);
  }
  return first;
}

void Context::End(bool abort) {
  for (const std::shared_ptr<Stream>& stream : Streams()) {
    if (abort) {
      stream->Abort();
    } else {
      stream->Finish();
    }
  }
}

RtStatus Contexts::SetDevice(int32_t user_device) {
  RtResult<uint32_t> physical = devices_.PhysicalOfUser(user_device);
  if (!physical.ok()) return physical.status();
  std::lock_guard<std::mutex> lock(mutex_);
  DefaultContext& entry = defaults_[*physical];
  if (entry.uses == 0) {
    if (RtStatus opened = devices_.Open(*physical); !opened.ok()) return opened;
    entry.handle = contexts_.Add(std::make_shared<Context>(user_device, *physical, true));
  }
  ++entry.uses;
  ThisThread() = {this, entry.handle};
  return {};
}

RtStatus Contexts::ResetDevice(int32_t user_device, bool force) {
  RtResult<uint32_t> physical = devices_.PhysicalOfUser(user_device);
  if (!physical.ok()) return physical.status();
  std::shared_ptr<Context> ended;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    DefaultContext& entry = defaults_[*physical];
    if (entry.uses == 0) {
      return RtStatus(ACL_ERROR_RT_INVALID_DEVICEID,
                      "device " + std::to_string(user_device) + " is not set in this process");
    }
    entry.uses = force ? 0 : entry.uses - 1;
    if (entry.uses != 0) return {};
    ended = contexts_.Remove(std::exchange(entry.handle, nullptr));
  }
  ended->End(force);
  LetGo(*physical);
  return {};
}

void Contexts::LetGo(uint32_t physical_device) {
  if (devices_.Close(physical_device)) device_closed_(physical_device);
}

bool Contexts::IsSet(uint32_t physical_device) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = defaults_.find(physical_device);
  return found != defaults_.end() && found->second.uses != 0;
}

RtResult<void*> Contexts::Create(int32_t user_device) {
  RtResult<uint32_t> physical = devices_.PhysicalOfUser(user_device);
  if (!physical.ok()) return physical.status();
  if (RtStatus opened = devices_.Open(*physical); !opened.ok()) return opened;
  void* const handle = contexts_.Add(std::make_shared<Context>(user_device, *physical, false));
  ThisThread() = {this, handle};
  return handle;
}

RtStatus Contexts::Destroy(const void* handle) {
  std::shared_ptr<Context> context = contexts_.Find(handle);
  if (context == nullptr) return DeadContext();
  if (context->is_default()) {
    return RtStatus(ACL_ERROR_RT_PARAM_INVALID,
                    "a device's default context is not destroyed; aclrtResetDevice ends it");
  }
  context = contexts_.Remove(handle);
  if (context == nullptr) return DeadContext();
  context->End(false);
  LetGo(context->physical_device());
  return {};
}

RtStatus Contexts::SetCurrent(const void* handle) {
  if (contexts_.Find(handle) == nullptr) return DeadContext();
  ThisThread() = {this, handle};
  return {};
}

RtResult<void*> Contexts::CurrentHandle() {
  const ThreadContext current = ThisThread();
  if (current.of != this || contexts_.Find(current.handle) == nullptr) return NoContext();
  return const_cast<void*>(current.handle);
}

RtResult<std::shared_ptr<Context>> Contexts::Current() {
  const ThreadContext current = ThisThread();
  std::shared_ptr<Context> context = current.of == this ? contexts_.Find(current.handle) : nullptr;
  if (context == nullptr) return NoContext();
  return context;
}

}  // namespace npu_ipc::sim
