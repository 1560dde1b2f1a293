// A broker, pods and processes in a PID namespace of the test's own, where it says which pid comes
// next.
#pragma once

#include <memory>
#include <string>

#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {

// What REQUIRES a node box: main.cc runs all of it in one.
class IdentityProcessTest : public BrokerProcessTest {
 protected:
  // SIGSTOP; returns when none of its threads runs. What comes meanwhile is there at once for it
  // when it goes on.
  void PauseBroker();
  void ResumeBroker();
  // Returns when the broker has seen everything that was sent to it before.
  void WaitForBroker();

  // Ends the process for good, and gives its pid to another one. The other is in no pod.
  std::shared_ptr<ClientProcess> Replace(ClientProcess& process);

  // What the client gets next is this refusal, and then nothing any more.
  testing::AssertionResult RefusedAndClosed(ClientProcess& client, wire::Status status);
};

}  // namespace npu_ipc::broker
