#include "plugin/kubectl/process_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <list>
#include <utility>

#include "hal/base/fd.h"

extern char** environ;

namespace npu_ipc::kubectl {
namespace {

using std::chrono::steady_clock;

constexpr int kExitNotStarted = 127;
constexpr int kExitSignal = 128;

struct Stream {
  UniqueFd fd;
  std::string* text = nullptr;
};

// One command that runs.
struct Child {
  pid_t pid = -1;
  size_t index = 0;
  steady_clock::time_point deadline;
  size_t output_limit = 0;
  std::array<Stream, 2> streams;

  bool Silent() const { return !streams[0].fd && !streams[1].fd; }
};

bool MakePipe(UniqueFd* read_end, UniqueFd* write_end) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  read_end->Reset(ends[0]);
  write_end->Reset(ends[1]);
  return true;
}

// Its own process group: what it starts (credential helpers) is ended with it. Signals are as a
// program finds them, whatever this one has done to its own.
int Spawn(const Command& command, int output, int error, pid_t* pid) {
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, error, STDERR_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t defaults;
  ::sigemptyset(&none);
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGPIPE);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> arguments;
  arguments.reserve(command.arguments.size() + 1);
  for (const std::string& argument : command.arguments) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const int result =
      ::posix_spawnp(pid, arguments[0], &files, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  return result;
}

class Pool {
 public:
  explicit Pool(const std::vector<Command>& commands)
      : commands_(commands), outcomes_(commands.size()) {}

  std::vector<Outcome> Run(size_t at_once) {
    while (next_ < commands_.size() || !children_.empty()) {
      while (next_ < commands_.size() && children_.size() < std::max<size_t>(at_once, 1)) {
        Start(next_++);
      }
      if (!children_.empty()) WaitForSome();
    }
    return std::move(outcomes_);
  }

 private:
  void Start(size_t index) {
    Outcome& outcome = outcomes_[index];
    Child child;
    child.index = index;
    child.deadline = steady_clock::now() + commands_[index].timeout;
    child.output_limit = commands_[index].output_limit;
    child.streams[0].text = &outcome.output;
    child.streams[1].text = &outcome.error;
    UniqueFd output;
    UniqueFd error;
    int failed = 0;
    if (MakePipe(&child.streams[0].fd, &output) && MakePipe(&child.streams[1].fd, &error)) {
      failed = Spawn(commands_[index], output.get(), error.get(), &child.pid);
    } else {
      failed = errno;
    }
    if (failed != 0) {
      outcome.exit_code = kExitNotStarted;
      outcome.problem = "cannot run " + commands_[index].arguments[0] + ": " + ::strerror(failed);
      return;
    }
    children_.push_back(std::move(child));
  }

  void WaitForSome() {
    std::vector<pollfd> fds;
    auto deadline = steady_clock::time_point::max();
    for (const Child& child : children_) {
      deadline = std::min(deadline, child.deadline);
      for (const Stream& stream : child.streams) {
        if (stream.fd) fds.push_back({stream.fd.get(), POLLIN, 0});
      }
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    ::poll(fds.data(), fds.size(), static_cast<int>(std::clamp<int64_t>(left, 0, 60'000)));
    for (auto child = children_.begin(); child != children_.end();) {
      Read(*child);
      const bool over = child->Silent() || !outcomes_[child->index].problem.empty() || Late(*child);
      if (over) Reap(*child);
      child = over ? children_.erase(child) : std::next(child);
    }
  }

  void Read(Child& child) {
    char buffer[65536];
    for (Stream& stream : child.streams) {
      while (stream.fd) {
        pollfd ready = {stream.fd.get(), POLLIN, 0};
        if (::poll(&ready, 1, 0) <= 0) break;
        const ssize_t got = ::read(stream.fd.get(), buffer, sizeof(buffer));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
          stream.fd.Reset();
          break;
        }
        stream.text->append(buffer, static_cast<size_t>(got));
        if (stream.text->size() <= child.output_limit) continue;
        outcomes_[child.index].problem =
            "it wrote more than " + std::to_string(child.output_limit) + " bytes";
        return;
      }
    }
  }

  bool Late(const Child& child) {
    if (steady_clock::now() < child.deadline) return false;
    const auto seconds = std::chrono::duration<double>(commands_[child.index].timeout).count();
    std::string text = std::to_string(seconds);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    outcomes_[child.index].problem = "no answer within " + text + " s";
    return true;
  }

  // What it started goes with it; a command that has closed its output ends by itself.
  void Reap(const Child& child) {
    Outcome& outcome = outcomes_[child.index];
    if (!outcome.problem.empty()) ::kill(-child.pid, SIGKILL);
    int status = 0;
    while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
    }
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : kExitSignal + WTERMSIG(status);
  }

  const std::vector<Command>& commands_;
  std::vector<Outcome> outcomes_;
  std::list<Child> children_;
  size_t next_ = 0;
};

}  // namespace

std::vector<Outcome> RunAll(const std::vector<Command>& commands, size_t at_once) {
  return Pool(commands).Run(at_once);
}

Outcome Run(const Command& command) { return std::move(RunAll({command}, 1).front()); }

}  // namespace npu_ipc::kubectl
