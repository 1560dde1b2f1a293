// The broker as shipped, with pods that are cgroups, and processes in them that need no container:
// as many as one likes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hal/base/fd.h"
#include "hal/base/result.h"
#include "tests/fixtures/child_process.h"
#include "tests/fixtures/pod.h"

namespace npu_ipc {

// A forked process, killed and reaped when destroyed.
class BenchProcess {
 public:
  BenchProcess(pid_t pid, UniqueFd control) : pid_(pid), control_(std::move(control)) {}
  BenchProcess(BenchProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), control_(std::move(other.control_)) {}
  ~BenchProcess();

  // SOCK_SEQPACKET; the process has the other end.
  int control() const { return control_.get(); }

 private:
  pid_t pid_;
  UniqueFd control_;
};

// REQUIRES: within RunInNodeBox, which ends the processes too. Used by one thread, the only one.
class BenchBroker {
 public:
  // Serves in `directory`, which is made. `cgroup` is the pods' parent (cgroup_tree.h), and may be
  // another broker's as well. `pods` pods, "pod-0" and so on, all of one group.
  static Result<BenchBroker> Start(const std::string& directory, const std::string& cgroup,
                                   size_t pods, const std::vector<std::string>& flags = {});

  // Forks a process in a container of that pod, which runs `body` and ends.
  Result<BenchProcess> Fork(size_t pod, const std::function<void(int control)>& body);

  // What the broker has used of a processor since its start, all its threads together.
  std::chrono::nanoseconds CpuTime() const;
  // Returns once it waits for something to happen.
  void WaitUntilIdle() const;
  size_t ResidentBytes() const;

  const std::string& socket_path() const { return socket_path_; }
  std::string Log() const;

 private:
  BenchBroker(std::string directory, std::string cgroup);

  std::string directory_;
  std::string cgroup_;
  std::string socket_path_;
  std::vector<PodRecord> pods_;
  std::optional<ChildProcess> process_;
};

}  // namespace npu_ipc
