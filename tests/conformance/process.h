// A process of a test's own in which the test calls functions: the parties of a share are real
// processes, each in its own surroundings, and a test reads as if it were all of them.
//
//   Process process(Container({0}));
//   const int sum = process.Call([](int a, int b) { return a + b; }, 1, 2);  // runs over there
//
// The process is this program once more, executed anew: it has never called a vendor library before
// the test makes it. The test's own process never does.
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <array>
#include <memory>
#include <tuple>
#include <type_traits>

#include "hal/base/fd.h"
#include "tests/conformance/container.h"
#include "tests/fixtures/child_process.h"

namespace npu_ipc::conformance {

// What goes there and back is memory: arguments one after another, and the result.
inline constexpr size_t kMaxCallBytes = 2048;
using CallBytes = std::array<unsigned char, kMaxCallBytes>;
using CallBody = void (*)(const CallBytes& arguments, CallBytes& result);

// Every failure of the process itself (not of what it calls) is a failure of the test: it cannot be
// started, does not answer within 30 s, or ends when it should not. Used by one thread.
class Process {
 public:
  enum class Thread { kMain, kNew };

  explicit Process(const Surroundings& surroundings);
  // In the container of `neighbour`, the first process of one: end this one before it.
  static Process Beside(const Process& neighbour);
  // On the host with the process id `pid`; null where another process got it first.
  static std::unique_ptr<Process> WithPid(pid_t pid);
  Process(Process&&) noexcept = default;
  Process& operator=(Process&&) noexcept = default;
  // Ends the process as Exit() does, if it still runs.
  ~Process();

  // Its process id as this process, on the host, sees it.
  pid_t pid() const { return child_ != nullptr ? child_->pid() : -1; }

  // Runs `body` in the process, on its main thread or on one started for this call, and returns
  // what it returns. `body` captures nothing; arguments and result are plain data (pointers are
  // carried, but mean something only over there).
  template <class Body, class... Arguments>
  auto Call(Thread thread, Body body, Arguments... arguments) {
    using Result = std::invoke_result_t<Body, Arguments...>;
    static_assert(std::is_empty_v<Body>, "a captured value would not be there");
    static_assert((std::is_trivially_copyable_v<Arguments> && ...));
    static_assert(std::is_trivially_copyable_v<Result>);
    static_assert((sizeof(Arguments) + ... + 0) <= kMaxCallBytes);
    static_assert(sizeof(Result) <= kMaxCallBytes);
    (void)body;
    CallBytes bytes = {};
    [[maybe_unused]] size_t offset = 0;
    ((::memcpy(bytes.data() + offset, &arguments, sizeof(arguments)), offset += sizeof(arguments)),
     ...);
    Run(thread, &Execute<Body, Result, Arguments...>, bytes);
    Result result;
    ::memcpy(&result, bytes.data(), sizeof(result));
    return result;
  }

  // Ends the process in order: it returns from main. Expects exit code 0.
  void Exit();
  // Ends it without notice.
  void Kill();

 private:
  Process() = default;
  void Start(const ChildProcess::Options& options);
  // Replaces `bytes` by the result; by zeros where the process failed.
  void Run(Thread thread, CallBody body, CallBytes& bytes);

  template <class Body, class Result, class... Arguments>
  static void Execute(const CallBytes& arguments, CallBytes& result) {
    [[maybe_unused]] size_t offset = 0;
    // Braces: taken in the order in which they were put.
    const std::tuple<Arguments...> values{Take<Arguments>(arguments, offset)...};
    const Result value = std::apply(Body(), values);
    ::memcpy(result.data(), &value, sizeof(value));
  }
  template <class Value>
  static Value Take(const CallBytes& bytes, size_t& offset) {
    Value value;
    ::memcpy(&value, bytes.data() + offset, sizeof(value));
    offset += sizeof(value);
    return value;
  }

  std::unique_ptr<ChildProcess> child_;
  UniqueFd socket_;
  bool own_container_ = false;
};

// The other side: answers calls that come through `socket` until the test closes it. Returns the
// program's exit code.
int ServeCalls(int socket);

// What makes this program serve calls instead of running tests: `<program> --serve-calls <fd>`.
inline constexpr char kServeCallsFlag[] = "--serve-calls";

}  // namespace npu_ipc::conformance
