#include "tests/integration/broker_sequence.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <utility>

#include "tests/fixtures/child_process.h"
#include "tests/fixtures/test_node.h"

namespace npu_ipc {

BrokerSequence::BrokerSequence(std::vector<std::string> command, std::vector<int> kill_after,
                               std::string log_file)
    : command_(std::move(command)),
      kill_after_(std::move(kill_after)),
      log_file_(std::move(log_file)),
      thread_([this] { Run(); }) {}

BrokerSequence::~BrokerSequence() {
  stop_ = true;
  thread_.join();
}

void BrokerSequence::Run() {
  for (size_t started = 0;; ++started) {
    ChildProcess::Options options;
    options.arguments = command_;
    options.error_file = log_file_;
    if (started < kill_after_.size()) {
      options.environment = {{"LD_PRELOAD", ThisBuild().tests + "/libnpu_ipc_kill_after.so"},
                             {"NPU_IPC_TEST_KILL_AFTER", std::to_string(kill_after_[started])},
                             // A preloaded library comes before the sanitizer's.
                             {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
    }
    Result<ChildProcess> broker = ChildProcess::Start(options);
    if (!broker.ok()) {
      ::fprintf(stderr, "cannot start a broker: %s\n", broker.status().message().c_str());
      ::_exit(1);
    }
    WaitUntil([&] { return stop_.load() || !broker->Running(); }, std::chrono::hours(1));
    if (stop_) return;
    const Result<int> code = broker->Wait();
    if (!code.ok() || *code != 128 + SIGKILL) {
      ::fprintf(stderr, "a broker ended by itself, with %d\n", code.ok() ? *code : -1);
      ::_exit(1);
    }
    ++killed_;
  }
}

}  // namespace npu_ipc
