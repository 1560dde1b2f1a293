// conformance_tests [--simulated-node=910b|910b-box16|910c] [--devices=<id>,<id>]
// [--audit-directory=<path>]
//
// Without --simulated-node: on this machine's own devices, with the vendor's libraries as the
// dynamic loader finds them.
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/process.h"
#include "tests/fixtures/node_box.h"
#include "tests/fixtures/simulated_node.h"

namespace npu_ipc::conformance {

NodeUnderTest& TheNode() {
  static NodeUnderTest node;
  return node;
}

namespace {

int RunOnSimulatedNode(const std::string& name) {
  Result<std::unique_ptr<SimulatedNode>> node = SimulatedNode::Start(name, "/run/npu");
  if (!node.ok()) {
    ::fprintf(stderr, "simulated node: %s\n", node.status().message().c_str());
    return 1;
  }
  // For the parties: each is a program started anew.
  ::setenv("LD_LIBRARY_PATH", (*node)->library_directory().c_str(), 1);
  TheNode().audit_directory = (*node)->audit_directory();
  return RUN_ALL_TESTS();
}

// The value of `--<name>=<value>`, or null.
const char* FlagValue(const char* argument, const std::string& name) {
  const std::string start = "--" + name + "=";
  return ::strncmp(argument, start.c_str(), start.size()) == 0 ? argument + start.size() : nullptr;
}

int RunTests(int argument_count, char** arguments) {
  std::string simulated_node;
  for (int i = 1; i < argument_count; ++i) {
    if (const char* node = FlagValue(arguments[i], "simulated-node")) {
      simulated_node = node;
    } else if (const char* directory = FlagValue(arguments[i], "audit-directory")) {
      TheNode().audit_directory = directory;
    } else if (const char* devices = FlagValue(arguments[i], "devices");
               devices == nullptr ||
               ::sscanf(devices, "%d,%d", &TheNode().first_device, &TheNode().second_device) != 2) {
      ::fprintf(stderr, "%s: not understood: %s\n", arguments[0], arguments[i]);
      return 2;
    }
  }
  if (simulated_node.empty()) return RUN_ALL_TESTS();
  return RunInNodeBox([&] { return RunOnSimulatedNode(simulated_node); });
}

}  // namespace
}  // namespace npu_ipc::conformance

int main(int argument_count, char** arguments) {
  namespace conformance = npu_ipc::conformance;
  if (argument_count == 3 && ::strcmp(arguments[1], conformance::kServeCallsFlag) == 0) {
    return conformance::ServeCalls(::atoi(arguments[2]));
  }
  ::testing::InitGoogleTest(&argument_count, arguments);
  return conformance::RunTests(argument_count, arguments);
}
