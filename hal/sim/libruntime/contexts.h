// Contexts, and which one is each thread's.
#pragma once

#include <stdint.h>

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "hal/sim/libruntime/devices.h"
#include "hal/sim/libruntime/errors.h"
#include "hal/sim/libruntime/handle_table.h"
#include "hal/sim/libruntime/stream.h"

namespace npu_ipc::sim {

// A context of one device, with its streams. Safe for concurrent use.
class Context {
 public:
  Context(int32_t user_device, uint32_t physical_device, bool is_default)
      : user_device_(user_device), physical_device_(physical_device), is_default_(is_default) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int32_t user_device() const { return user_device_; }
  uint32_t physical_device() const { return physical_device_; }
  bool is_default() const { return is_default_; }

  // The stream that NULL names; made when first needed.
  RtResult<std::shared_ptr<Stream>> DefaultStream();
  RtResult<std::shared_ptr<Stream>> NewStream();
  // The caller ends it.
  void Forget(const std::shared_ptr<Stream>& stream);

  // Waits for every stream; the first failure. `timeout_ms` as Stream::Synchronize, for each.
  RtStatus Synchronize(int32_t timeout_ms);
  // Ends every stream: after what is queued, or at once.
  void End(bool abort);

 private:
  std::vector<std::shared_ptr<Stream>> Streams();

  const int32_t user_device_;
  const uint32_t physical_device_;
  const bool is_default_;

  std::mutex mutex_;
  std::shared_ptr<Stream> default_stream_;        // guarded by mutex_
  std::vector<std::shared_ptr<Stream>> streams_;  // guarded by mutex_; with the default one
};

// Safe for concurrent use.
class Contexts {
 public:
  // Told that the process has closed a device: what it had there is gone.
  using DeviceClosed = void (*)(uint32_t physical_device);

  Contexts(Devices& devices, DeviceClosed device_closed)
      : devices_(devices), device_closed_(device_closed) {}

  // aclrtSetDevice: holds the device, and makes its default context this thread's.
  RtStatus SetDevice(int32_t user_device);
  // Gives one SetDevice back, or all of them; the last ends the default context. 107001 for a
  // device that is not set.
  RtStatus ResetDevice(int32_t user_device, bool force);
  bool IsSet(uint32_t physical_device);

  // A context of its own; it becomes this thread's.
  RtResult<void*> Create(int32_t user_device);
  // 107000 for a default context, 107002 for no context (any more).
  RtStatus Destroy(const void* handle);
  RtStatus SetCurrent(const void* handle);
  // 107002 when this thread has none, or its has been destroyed.
  RtResult<void*> CurrentHandle();
  RtResult<std::shared_ptr<Context>> Current();

 private:
  struct DefaultContext {
    void* handle = nullptr;
    uint32_t uses = 0;
  };

  void LetGo(uint32_t physical_device);

  Devices& devices_;
  const DeviceClosed device_closed_;
  HandleTable<Context, HandleKind::kContext> contexts_;
  std::mutex mutex_;
  std::map<uint32_t, DefaultContext> defaults_;  // by physical device; guarded by mutex_
};

}  // namespace npu_ipc::sim
