#include "tests/bench/bench_broker.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "hal/base/posix_error.h"
#include "hal/base/process.h"
#include "hal/base/unix_socket.h"
#include "tests/fixtures/cgroup_tree.h"
#include "tests/fixtures/test_node.h"

namespace npu_ipc {
namespace {

std::string PodCgroup(const std::string& parent, const PodRecord& pod) {
  return parent + "/kubepods/burstable/pod" + pod.uid;
}

std::string ContainerCgroup(const std::string& parent, const PodRecord& pod) {
  return PodCgroup(parent, pod) + "/" + std::string(64, 'c');
}

}  // namespace

BenchProcess::~BenchProcess() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

BenchBroker::BenchBroker(std::string directory, std::string cgroup)
    : directory_(std::move(directory)),
      cgroup_(std::move(cgroup)),
      socket_path_(directory_ + "/broker.sock") {}

Result<BenchBroker> BenchBroker::Start(const std::string& directory, const std::string& cgroup,
                                       size_t pods, const std::vector<std::string>& flags) {
  BenchBroker broker(directory, cgroup);
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return PosixError(error.value(), "create " + directory);
  if (!MakeCgroup(cgroup + "/kubepods") || !MakeCgroup(cgroup + "/kubepods/burstable")) {
    return Status(StatusCode::kInternal, "cannot make cgroups in " + cgroup);
  }
  for (size_t i = 0; i < pods; ++i) {
    const PodRecord pod = {
        "bench", "pod-" + std::to_string(i), RandomUid(), {{"npu-ipc.io/group", "bench"}}};
    if (!MakeCgroup(PodCgroup(cgroup, pod)) || !MakeCgroup(ContainerCgroup(cgroup, pod))) {
      return Status(StatusCode::kInternal, "cannot make the cgroup of " + pod.name);
    }
    broker.pods_.push_back(pod);
  }
  std::ofstream(directory + "/pods.json") << PodList(broker.pods_);
  ChildProcess::Options options;
  options.arguments = {ThisBuild().programs + "/npu-ipc-broker",
                       "--socket-path=" + broker.socket_path_,
                       "--pods-file=" + directory + "/pods.json",
                       "--state-directory=" + directory + "/state",
                       "--cluster-enabled=false",
                       "--share-ids=0",
                       "--http-listen-address=off",
                       "--device-view-socket=off",
                       "--driver-records-directory=/proc/none"};
  options.arguments.insert(options.arguments.end(), flags.begin(), flags.end());
  options.error_file = directory + "/broker.log";
  Result<ChildProcess> process = ChildProcess::Start(options);
  if (!process.ok()) return process.status();
  broker.process_ = std::move(*process);
  if (!WaitUntil([&] { return ConnectUnix(broker.socket_path_).ok(); })) {
    return Status(StatusCode::kUnavailable, "the broker does not serve: " + broker.Log());
  }
  return broker;
}

Result<BenchProcess> BenchBroker::Fork(size_t pod, const std::function<void(int control)>& body) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return PosixError(errno, "socketpair");
  }
  UniqueFd near_end(ends[0]);
  UniqueFd far_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return PosixError(errno, "fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    near_end.Reset();
    char entered = 0;
    if (::recv(far_end.get(), &entered, 1, 0) == 1) body(far_end.get());
    ::_exit(0);
  }
  BenchProcess process(child, std::move(near_end));
  if (!EnterCgroup(ContainerCgroup(cgroup_, pods_.at(pod)), child) ||
      ::send(process.control(), "e", 1, MSG_NOSIGNAL) != 1) {
    return Status(StatusCode::kInternal, "cannot start a process in " + pods_.at(pod).name);
  }
  return process;
}

std::chrono::nanoseconds BenchBroker::CpuTime() const {
  clockid_t clock = {};
  timespec used = {};
  if (::clock_getcpuclockid(process_->pid(), &clock) == 0) ::clock_gettime(clock, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

void BenchBroker::WaitUntilIdle() const {
  // "pid (name) S ...": sleeping.
  const std::string path = "/proc/" + std::to_string(process_->pid()) + "/stat";
  for (;;) {
    const Result<std::string> stat = ReadFile(path);
    if (!stat.ok() || stat->find(") S ") != std::string::npos) return;
    ::usleep(50);
  }
}

size_t BenchBroker::ResidentBytes() const {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/" + std::to_string(process_->pid()) + "/statm") >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

std::string BenchBroker::Log() const {
  const Result<std::string> text = ReadFile(directory_ + "/broker.log");
  return text.ok() ? *text : text.status().message();
}

}  // namespace npu_ipc
