#include "runtime/src/raw_log.h"

#include <stdlib.h>

#include <atomic>

#include "runtime/src/descriptor.h"
#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {
namespace {

enum : int { kUnread, kReading, kOff, kOn };
constinit std::atomic<int> log_state{kUnread};
// Written once, before log_state becomes kOn.
constinit Descriptor log_descriptor;

Descriptor OpenDestination(const char* destination) {
  int number = 0;
  const char* digit = destination;
  for (; *digit >= '0' && *digit <= '9' && number < 100000; ++digit) {
    number = number * 10 + (*digit - '0');
  }
  if (*digit == '\0') return Descriptor(number);
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  return Descriptor(static_cast<int>(SystemCall(SYS_openat, AT_FDCWD, destination, kFlags, 0640)));
}

}  // namespace

void OpenRawLog() {
  int expected = kUnread;
  if (!log_state.compare_exchange_strong(expected, kReading)) return;
  const char* const destination = ::secure_getenv("NPU_IPC_LOG");
  if (destination != nullptr && destination[0] != '\0') {
    log_descriptor = OpenDestination(destination);
  }
  log_state.store(log_descriptor.number() >= 0 ? kOn : kOff, std::memory_order_release);
}

bool RawLogEnabled() { return log_state.load(std::memory_order_acquire) == kOn; }

void RawLog(const Text& line) {
  if (!RawLogEnabled() || !log_descriptor.StillOurs()) return;
  Text whole("npu-ipc ");
  whole.Append(int64_t{ProcessId()}).Append("/").Append(SystemCall(SYS_gettid)).Append(": ");
  whole.Append(line.c_str());
  // The line's end must survive a cut.
  char out[Text::kCapacity + 1];
  memcpy(out, whole.c_str(), whole.length());
  out[whole.length()] = '\n';
  WriteDescriptor(log_descriptor.number(), out, whole.length() + 1);
}

}  // namespace npu_ipc::runtime
