// A process that speaks wire.h as it is told to, in the cgroup that the test puts it in.
#pragma once

#include <sys/types.h>

#include <memory>
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
  // Sends the packet `count` times without reading what comes.
  void Flood(const void* packet, size_t bytes, uint32_t count);
  // The next packet from the broker; empty when the broker has closed, or after 30 seconds.
  std::vector<char> Receive();

  void Kill();

 private:
  void Command(char command, const void* body, size_t bytes);
  bool Done();

  pid_t pid_ = -1;
  UniqueFd control_;
};

}  // namespace npu_ipc
