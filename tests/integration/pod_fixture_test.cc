// What the other integration tests rest on: containers that look to the kernel as a kubelet's do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "hal/base/process.h"
#include "tests/fixtures/cgroup_tree.h"
#include "tests/fixtures/node_box.h"
#include "tests/fixtures/pod.h"

namespace npu_ipc {
namespace {

using testing::HasSubstr;
using testing::Not;

// Runs `body`, which uses gtest's expectations, in a box; what failed there was printed there.
void InBox(const std::function<void(const std::string& cgroup)>& body) {
  const std::string cgroup = UniqueCgroupName();
  ASSERT_TRUE(MakeCgroup(cgroup));
  const int code = RunInNodeBox([&] {
    body(cgroup);
    return testing::Test::HasFailure() ? 1 : 0;
  });
  RemoveCgroup(cgroup);
  EXPECT_EQ(code, 0);
  for (const std::string& hierarchy : CgroupHierarchies()) {
    EXPECT_NE(::access((hierarchy + "/" + cgroup).c_str(), F_OK), 0) << "left behind";
  }
}

TEST(Container, HasAKubeletsCgroupAndNamespacesOfItsOwn) {
  InBox([](const std::string& cgroup) {
    ContainerSpec spec;
    spec.pod = {"team-a", "trainer-0", RandomUid(), {}};
    spec.arguments = {"/bin/sh", "-c", "echo $$ $(hostname); read line; exit 3"};
    auto container = Container::Start("/run/pods", cgroup, spec);
    ASSERT_TRUE(container.ok()) << container.status().message();
    const auto line = (*container)->process().ReadLine();
    ASSERT_TRUE(line.ok()) << line.status().message();
    EXPECT_EQ(*line, "1 trainer-0");

    const pid_t pid = (*container)->host_pid();
    EXPECT_GT(pid, 1);
    const auto cgroups = ReadFile("/proc/" + std::to_string(pid) + "/cgroup");
    ASSERT_TRUE(cgroups.ok());
    EXPECT_THAT(*cgroups, HasSubstr("/kubepods/burstable/pod" + spec.pod.uid + "/" +
                                    (*container)->id() + "\n"));
    (*container)->process().CloseInput();
    const auto ended = (*container)->process().Wait();
    ASSERT_TRUE(ended.ok());
    EXPECT_EQ(*ended, 3);
  });
}

TEST(Container, SeesTheAllocatedDeviceNodesMountsAndEnvironmentAndNoOthers) {
  InBox([](const std::string& cgroup) {
    ASSERT_EQ(::mknod("/dev/davinci0", S_IFCHR | 0660, makedev(511, 0)), 0);
    ASSERT_EQ(::mknod("/dev/davinci1", S_IFCHR | 0660, makedev(511, 1)), 0);
    ASSERT_EQ(::mkdir("/run/given", 0755), 0);
    std::ofstream("/run/given/file") << "hello\n";
    ContainerSpec spec;
    spec.pod = {"team-a", "trainer-0", RandomUid(), {}};
    spec.arguments = {"/bin/sh", "-c",
                      "ls /dev; cat /given/file; touch /given/x; echo $GIVEN; : </dev/davinci0"};
    spec.allocation = nlohmann::json::parse(R"({
      "devices": [{"container_path": "/dev/davinci0", "host_path": "/dev/davinci0",
                   "permissions": "rw"}],
      "mounts": [{"container_path": "/given", "host_path": "/run/given", "read_only": true}],
      "envs": {"GIVEN": "value"}})");
    auto container = Container::Start("/run/pods", cgroup, spec);
    ASSERT_TRUE(container.ok()) << container.status().message();
    std::string output;
    for (auto line = (*container)->process().ReadLine(); line.ok();
         line = (*container)->process().ReadLine()) {
      output += *line + "\n";
    }
    ASSERT_TRUE((*container)->process().Wait().ok());
    EXPECT_THAT(output, HasSubstr("davinci0\n"));
    EXPECT_THAT(output, Not(HasSubstr("davinci1")));
    EXPECT_THAT(output, HasSubstr("hello\nvalue\n"));
    EXPECT_NE(::access("/run/given/x", F_OK), 0) << "the mount was writable";
    const auto said = ReadFile("/run/pods/" + (*container)->id().substr(0, 12) + "/stderr");
    ASSERT_TRUE(said.ok());
    // A placeholder of no driver: opening it is allowed, and there is nothing behind it.
    EXPECT_THAT(*said, HasSubstr("cannot open /dev/davinci0: No such device or address"));
  });
}

TEST(NodeBox, LeavesNothingRunningAndGivesTheBodysResult) {
  EXPECT_EQ(RunInNodeBox([] {
              if (::fork() == 0) {
                for (;;) ::pause();
              }
              return ::getppid() == 1 ? 42 : 1;  // process 1 is the box's own
            }),
            42);
}

}  // namespace
}  // namespace npu_ipc
