// A process that speaks wire.h as it is told to, in the cgroup that the test puts it in.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hal/base/fd.h"

namespace npu_ipc {

// Forked from the test, which must have one thread; killed and reaped when destroyed.
class ClientProcess {
 public:
  ClientProcess();
  ~ClientProcess();
  ClientProcess(const ClientProcess&) = delete;
  ClientProcess& operator=(const ClientProcess&) = delete;

  pid_t pid() const { return pid_; }

  // Connects to the broker's socket; false when it cannot.
  bool Connect(const std::string& path);
  void Disconnect();
  // Sends one packet as it is.
  void Send(const void* packet, size_t bytes);
  // As Send(), from a child that it forks.
  void SendFromChild(const void* packet, size_t bytes);
  void SendFromThread(const void* packet, size_t bytes);
  // As Send(), with another process as its sender (SCM_CREDENTIALS); `sender` is a pid of this
  // process' PID namespace. False where the kernel does not let it.
  bool SendAs(pid_t sender, const void* packet, size_t bytes);
  // Becomes another program, which holds the connection and sends the packet on it. Obeys nothing
  // from then on.
  void Execute(const void* packet, size_t bytes);
  // Sends the packet `count` times without reading what comes.
  void Flood(const void* packet, size_t bytes, uint32_t count);
  // The next packet from the broker; empty when the broker has closed, or after 30 seconds.
  std::vector<char> Receive();
  // False when a packet comes instead, or neither within 30 seconds.
  bool WaitForClose();

  // A child that holds the connection too, in new namespaces of these kinds (CLONE_NEW...). Only
  // one of the two should be listened to: a message goes to one of them. Not from a child that has
  // a PID namespace of its own: its children's pids are not ours.
  std::unique_ptr<ClientProcess> Fork(int namespaces = 0);
  // The connection, also for this process. Empty where there is none.
  UniqueFd Socket();
  // Has `socket` for its connection from now on.
  bool Take(int socket);

  // Killed, and reaped where it is this process' child.
  void Kill();

 private:
  std::optional<std::vector<char>> Next();
  ClientProcess(pid_t pid, UniqueFd control);
  void Command(char command, const void* body, size_t bytes, int passed_fd = -1);
  bool Done(char command);

  pid_t pid_ = -1;
  UniqueFd control_;
};

}  // namespace npu_ipc
