// integration_tests: each test on a node of its own. ctest runs each in a process of its own, in
// parallel with others; by hand, they run one after another in one node box. Needs root.
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fixtures/cgroup_tree.h"
#include "tests/fixtures/node_box.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  const std::string cgroup = npu_ipc::UniqueCgroupName();
  if (!npu_ipc::MakeCgroup(cgroup)) {
    ::fprintf(stderr, "cannot make a cgroup %s; these tests need root\n", cgroup.c_str());
    return 1;
  }
  ::setenv("NPU_IPC_TEST_CGROUP", cgroup.c_str(), 1);
  const int code = npu_ipc::RunInNodeBox([] { return RUN_ALL_TESTS(); });
  npu_ipc::RemoveCgroup(cgroup);
  return code;
}
