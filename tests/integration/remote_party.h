// npu-ipc-party (party/party.h) in a container, as a test talks to it.
#pragma once

#include <gmock/gmock.h>

#include <chrono>
#include <memory>
#include <ostream>
#include <string>

#include "tests/fixtures/pod.h"

namespace npu_ipc {

// A line that a party answered: "ok key=value ..." or "error STATUS reason".
struct Answer {
  std::string line;

  bool ok() const { return line == "ok" || line.rfind("ok ", 0) == 0; }
  std::string status() const;                     // of an error; empty where it is none
  std::string operator[](const char* key) const;  // of an "ok"; empty where it is not there
};
void PrintTo(const Answer& answer, std::ostream* out);

// Of a region or a mapping; 0 after a failed expectation.
uint64_t GenerationOf(const Answer& answer);

MATCHER(IsOk, "") { return arg.ok(); }
// Refused with that status, in words that match `words`.
MATCHER_P2(IsRefused, status, words, "") {
  return arg.status() == status && testing::ExplainMatchResult(testing::Matcher<std::string>(words),
                                                               arg.line, result_listener);
}
// A copy read the pattern that starts with that word, whole.
MATCHER_P(IsPattern, first_word, "") {
  return arg["whole"] == "yes" && arg["first_word"] == std::to_string(first_word);
}
// A vendor call failed, with whatever code.
MATCHER(IsVendorError, "") {
  return !arg.status().empty() && arg.status().find_first_not_of("0123456789") == std::string::npos;
}

// Used by one thread.
class RemoteParty {
 public:
  RemoteParty(PodRecord pod, std::unique_ptr<Container> container);

  // Says a command and waits for its answer. What goes wrong with the party is an answer too, with
  // the status LOST.
  Answer Do(const std::string& command);
  // The two halves of Do(), for what is to happen in between.
  void Tell(const std::string& command);
  Answer Hear(std::chrono::milliseconds deadline = kTestDeadline);

  void Pause();   // SIGSTOP; returns when every thread has stopped
  void Resume();  // SIGCONT
  void Kill();    // SIGKILL; returns when the container has ended

  const PodRecord& pod() const { return pod_; }
  std::string PodName() const { return pod_.pod_namespace + "/" + pod_.name; }
  pid_t host_pid() const { return container_->host_pid(); }
  Container& container() { return *container_; }

 private:
  PodRecord pod_;
  std::unique_ptr<Container> container_;
};

}  // namespace npu_ipc
