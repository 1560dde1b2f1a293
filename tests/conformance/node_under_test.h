// What the suite runs on: set from the command line before the first test.
#pragma once

#include <string>

namespace npu_ipc::conformance {

struct NodeUnderTest {
  // Physical ids of two devices that can reach one another and that nobody else uses. On the host
  // they are also the ids that aclrtSetDevice takes.
  int first_device = 0;
  int second_device = 1;
  // Where the driver shows its keys.
  std::string audit_directory = "/proc/svm_shmem";
};

NodeUnderTest& TheNode();

// Short names for the tests.
inline int First() { return TheNode().first_device; }
inline int Second() { return TheNode().second_device; }

}  // namespace npu_ipc::conformance
