// integration_tests: each test on a node of its own. ctest runs each in a process of its own, in
// parallel with others; by hand, they run one after another in one node box. Needs root.
#include <gtest/gtest.h>
#include <stdlib.h>

#include "tests/fixtures/node_box.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  return npu_ipc::RunInNodeBoxWithCgroup([](const std::string& cgroup) {
    ::setenv("NPU_IPC_TEST_CGROUP", cgroup.c_str(), 1);
    return RUN_ALL_TESTS();
  });
}
