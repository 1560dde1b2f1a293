// Real processes in real cgroups. Needs root.
#include "plugin/identity/container.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/fixtures/cgroup_tree.h"
#include "tests/fixtures/child_process.h"
#include "tests/unit/plugin/identity/cgroup_names.h"

namespace npu_ipc::identity {
namespace {

using testing::HasSubstr;

PeerProcess Describe(pid_t pid) {
  PeerProcess process;
  process.pid = pid;
  process.start_time_ticks = *ProcessStartTime(pid);
  process.pidfd = OpenPidfd(pid).value();
  return process;
}

class ContainerOfProcess : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(MakeCgroup(root_)); }
  void TearDown() override {
    for (const pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    RemoveCgroup(root_);
  }

  // "a/b" below the test's own cgroup, with all above it.
  std::string Make(const std::string& path) {
    for (size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
      EXPECT_TRUE(MakeCgroup(root_ + "/" + path.substr(0, at)));
    }
    EXPECT_TRUE(MakeCgroup(root_ + "/" + path));
    return root_ + "/" + path;
  }
  static std::string Container(const std::string& uid, const std::string& id) {
    return "kubepods/burstable/pod" + uid + "/" + id;
  }

  // A process that waits for its end, after `begin` (which tells of its failure by false).
  pid_t Start(const std::function<bool()>& begin = [] { return true; }) {
    int ready[2];
    EXPECT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    const UniqueFd in(ready[0]), out(ready[1]);
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const char good = begin() ? 'y' : 'n';
      [[maybe_unused]] const ssize_t told = ::write(out.get(), &good, 1);
      ::_exit(::pause());
    }
    children_.push_back(child);
    char good = 0;
    EXPECT_EQ(::read(in.get(), &good, 1), 1);
    EXPECT_EQ(good, 'y');
    return child;
  }
  pid_t StartIn(const std::string& cgroup) {
    const pid_t child = Start();
    EXPECT_TRUE(EnterCgroup(cgroup, child));
    return child;
  }

  // What ContainerOf() says in a process of that cgroup, with a cgroup namespace of its own or not:
  // the pod's uid and the container's id, or the code of its failure.
  static std::string SeenFrom(const std::string& cgroup, bool own_namespace, pid_t process) {
    int pipe_ends[2];
    EXPECT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
    const UniqueFd in(pipe_ends[0]);
    UniqueFd out(pipe_ends[1]);
    const pid_t reader = ::fork();
    if (reader == 0) {
      std::string text = "no cgroup namespace";
      if (EnterCgroup(cgroup, ::getpid()) && (!own_namespace || ::unshare(CLONE_NEWCGROUP) == 0)) {
        const Result<ContainerCgroup> found = ContainerOf(Describe(process));
        text = found.ok() ? found->pod_uid + " " + found->container_id
                          : std::string(StatusCodeName(found.status().code()));
      }
      ::_exit(::write(out.get(), text.data(), text.size()) < 0 ? 1 : 0);
    }
    out.Reset();
    ::waitpid(reader, nullptr, 0);
    char text[256];
    const ssize_t got = ::read(in.get(), text, sizeof(text));
    return {text, static_cast<size_t>(got < 0 ? 0 : got)};
  }

  const std::string root_ = UniqueCgroupName();
  const ContainerCgroup expected_ = {kUid, kId};
  std::vector<pid_t> children_;
};

TEST_F(ContainerOfProcess, SaysThatThisTestIsInNoPod) {
  const Result<ContainerCgroup> container = ContainerOf(Describe(::getpid()));
  ASSERT_FALSE(container.ok());
  EXPECT_EQ(container.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(container.status().message(), HasSubstr("process " + std::to_string(::getpid())));
}

TEST_F(ContainerOfProcess, DoesNotTakeAnotherProcessOfTheSamePidForIt) {
  PeerProcess process = Describe(::getpid());
  process.start_time_ticks += 1;
  EXPECT_EQ(ContainerOf(process).status().code(), StatusCode::kUnavailable);
}

TEST_F(ContainerOfProcess, SaysThatTheProcessHasEnded) {
  const PeerProcess process = Describe(StartIn(Make(Container(kUid, kId))));
  ::kill(process.pid, SIGKILL);
  ::waitpid(process.pid, nullptr, 0);
  EXPECT_EQ(ContainerOf(process).status().code(), StatusCode::kUnavailable);
}

TEST_F(ContainerOfProcess, IsThatOfItsCgroupWhetherItBeganOrWasPutThere) {
  const std::string cgroup = Make(Container(kUid, kId));
  const pid_t first = StartIn(cgroup);
  const pid_t executed = StartIn(cgroup);  // as kubectl exec does it
  for (const pid_t process : {first, executed}) {
    const Result<ContainerCgroup> found = ContainerOf(Describe(process));
    ASSERT_TRUE(found.ok()) << found.status().message();
    EXPECT_EQ(*found, expected_);
  }
}

TEST_F(ContainerOfProcess, OfAUserNamespaceIsTheSame) {
  const std::string cgroup = Make(Container(kUid, kId));
  // By a program of its own: under ThreadSanitizer a forked child has threads, and may not.
  const pid_t process = ::fork();
  if (process == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!EnterCgroup(cgroup, ::getpid())) ::_exit(1);
    ::execlp("unshare", "unshare", "--user", "--cgroup", "sleep", "infinity", nullptr);
    ::_exit(1);
  }
  children_.push_back(process);
  const auto user_namespace = [](const std::string& pid) {
    std::error_code gone;
    return std::filesystem::read_symlink("/proc/" + pid + "/ns/user", gone).string();
  };
  ASSERT_TRUE(
      WaitUntil([&] { return user_namespace(std::to_string(process)) != user_namespace("self"); }));
  const Result<ContainerCgroup> found = ContainerOf(Describe(process));
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(*found, expected_);
}

TEST_F(ContainerOfProcess, IsNotOneThatAContainerMadeUpFurtherDown) {
  const std::string own = Container(kUid, kId);
  for (const std::string& made_up :
       {"/" + Container(kOtherUid, kOtherId), "/pod" + kOtherUid + "/" + kOtherId, "/" + kOtherId,
        std::string("/\xff\xfe:0::"), std::string("/kubepods (deleted)")}) {
    const Result<ContainerCgroup> found = ContainerOf(Describe(StartIn(Make(own + made_up))));
    ASSERT_TRUE(found.ok()) << made_up << ": " << found.status().message();
    EXPECT_EQ(*found, expected_) << made_up;
  }
}

// Lines are what the parser goes by.
TEST_F(ContainerOfProcess, CannotHaveANewlineInItsName) {
  for (const std::string& hierarchy : CgroupHierarchies()) {
    EXPECT_NE(::mkdir((hierarchy + "/" + root_ + "/a\nb").c_str(), 0755), 0) << hierarchy;
  }
}

TEST_F(ContainerOfProcess, IsRefusedWhereTheHierarchiesNameTwo) {
  const std::vector<std::string> hierarchies = CgroupHierarchies();
  if (hierarchies.size() < 2) return;  // only v1 has several
  const pid_t process = StartIn(Make(Container(kUid, kId)));
  const std::string other = Make(Container(kOtherUid, kOtherId));
  const UniqueFd procs(
      ::open((hierarchies.front() + "/" + other + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_GT(::dprintf(procs.get(), "%d\n", process), 0);
  const Result<ContainerCgroup> found = ContainerOf(Describe(process));
  EXPECT_EQ(found.status().code(), StatusCode::kPermissionDenied) << found.status().message();
}

// Of a path longer than PATH_MAX kernels show the beginning, or nothing.
TEST_F(ContainerOfProcess, IsNoOtherWhereItsPathIsTooLongToBeShown) {
  const std::string hierarchy = CgroupHierarchies().front();
  const pid_t process = StartIn(Make(Container(kUid, kId)));
  std::vector<UniqueFd> levels;
  levels.emplace_back(::open((hierarchy + "/" + root_ + "/" + Container(kUid, kId)).c_str(),
                             O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::string name(250, 'x');
  for (int i = 0; i < 17; ++i) {
    ASSERT_EQ(::mkdirat(levels.back().get(), name.c_str(), 0755), 0);
    levels.emplace_back(
        ::openat(levels.back().get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  const UniqueFd procs(::openat(levels.back().get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
  EXPECT_GT(::dprintf(procs.get(), "%d\n", process), 0);
  const Result<ContainerCgroup> found = ContainerOf(Describe(process));
  EXPECT_TRUE(!found.ok() || *found == expected_) << found->pod_uid;

  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  // By hand: the fixture's paths do not reach that far down.
  while (levels.size() > 1) {
    levels.pop_back();
    EXPECT_EQ(::unlinkat(levels.back().get(), name.c_str(), AT_REMOVEDIR), 0);
  }
}

TEST_F(ContainerOfProcess, IsSeenFromAPodOfTheSameKubelet) {
  const pid_t process = StartIn(Make(Container(kUid, kId)));
  const std::string sibling = Make(Container(kOtherUid, kOtherId));
  const std::string other_level = Make("kubepods/besteffort/pod" + kOtherUid + "/" + kOtherId);
  for (const std::string& reader : {sibling, other_level}) {
    EXPECT_EQ(SeenFrom(reader, false, process), kUid + " " + kId) << reader;
    EXPECT_EQ(SeenFrom(reader, true, process), kUid + " " + kId) << reader << ", relative";
  }
}

TEST_F(ContainerOfProcess, ThatAnotherThanTheKubeletMadeIsNotSeenFromAPod) {
  const std::string reader = Make(Container(kOtherUid, kOtherId));
  const pid_t process = StartIn(Make("user.service/" + Container(kUid, kId)));
  EXPECT_EQ(SeenFrom(reader, false, process), "NOT_FOUND");
  EXPECT_EQ(SeenFrom(reader, true, process), "NOT_FOUND") << "relative";
  // Nor one that a container of the reader's own pod made.
  const pid_t nested = StartIn(Make("kubepods/burstable/pod" + kOtherUid + "/" +
                                    std::string(64, 'd') + "/" + Container(kUid, kId)));
  EXPECT_EQ(SeenFrom(reader, true, nested), "NOT_FOUND");
}

}  // namespace
}  // namespace npu_ipc::identity
