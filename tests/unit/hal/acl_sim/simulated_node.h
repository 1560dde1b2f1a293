// A node with a simulated driver around a test program that is linked with libascendcl.so.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "tests/fixtures/child_process.h"

namespace npu_ipc::sim {

// Runs the program's tests in a node box: a /dev of its own for the placeholder nodes, and the
// libraries' directory, where they look for their driver, for itself. Called by main, before any
// thread.
int RunTestsOnSimulatedNode(int argc, char** argv);

// Runs `body` in a process of its own, so that it meets libraries that nobody has used yet; its
// failed expectations are the caller's failure.
void InFreshProcess(const std::function<void()>& body);

// The driver daemon of the node; running from its construction to its destruction.
class SimulatedDriver {
 public:
  explicit SimulatedDriver(const std::string& node = "910b");
  // Ends it as a crash does.
  void Kill();

 private:
  std::unique_ptr<ChildProcess> daemon_;
};

// A forked process that runs `body` and is spoken to line by line. Its failed expectations show as
// an exit code other than 0.
class Peer {
 public:
  // `body` gets the peer's end: descriptors to read lines from and to write lines to.
  using Body = std::function<void(int input, int output)>;
  explicit Peer(const Body& body);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  pid_t pid() const { return pid_; }
  void Send(const std::string& line);
  std::string Receive();  // "" when it has ended
  void Kill();
  // Its exit code, after its input has ended.
  int Finish();

 private:
  pid_t pid_;
  int to_;
  int from_;
};

// Line by line on a descriptor; what Peer bodies use.
void SendLine(int fd, const std::string& line);
std::string ReceiveLine(int fd);

}  // namespace npu_ipc::sim
