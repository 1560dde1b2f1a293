// A real process that a test has talk to a simulated driver.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "hal/base/fd.h"
#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {

// A forked child that sends what the test gives it and hands back what it gets, so that the test
// reads top to bottom while the kernel sees another process. Every wait ends at the test deadline.
// Needs root. Killed and reaped when destroyed.
class RemoteProcess {
 public:
  enum class Place {
    kHost,               // where the test itself is
    kHostUser,           // the same, uid 1000
    kContainer,          // its own mount namespace and /dev, no capabilities
    kPidNamespace,       // the same, as process 1 of its own PID namespace
    kAdminContainer,     // its own mount namespace and /dev, and everything that root may do
    kOtherUserContainer  // as kContainer, uid 1000
  };
  struct Options {
    Place place = Place::kContainer;
    std::vector<uint32_t> devices;  // which davinciN its /dev has; not for kHost, kHostUser
    unsigned device_major = 0;
  };
  struct Answer {
    bool connected = false;  // false: the driver closed the connection, and nothing else is set
    Reply reply = {};
    UniqueFd descriptor;
  };

  RemoteProcess(const std::string& socket_path, const Options& options);
  ~RemoteProcess();
  RemoteProcess(const RemoteProcess&) = delete;
  RemoteProcess& operator=(const RemoteProcess&) = delete;

  // The forked child's; with kPidNamespace the process that calls is a child of that one.
  pid_t pid() const { return pid_; }

  Answer Call(const Request& request) { return CallRaw(&request, sizeof(request)); }
  Answer Call(Operation operation, uint32_t device = 0, uint32_t peer = 0);
  Answer CallWithKey(Operation operation, const std::string& key, uint32_t device = 0,
                     const std::vector<int32_t>& pids = {});
  Answer CallRaw(const void* message, size_t bytes);
  // Opens `device`, allocates a page there and shares it; returns the key.
  std::string Export(uint32_t device);

  // Makes one more connection, which CallRaw() uses from now on.
  void Connect();
  // Closes the newest connection.
  void Disconnect();
  // Forks a child of its own that holds all descriptors until this object is destroyed.
  void ForkHolder();
  void Kill();

 private:
  struct Command;
  [[noreturn]] static void Run(int control, const std::string& socket_path, const Options& options);
  static void Serve(int control, const std::string& socket_path);
  void Do(const Command& command, Answer* answer);

  pid_t pid_ = -1;
  UniqueFd control_;
};

// A request with its version and operation filled in.
Request MakeRequest(Operation operation, uint32_t device = 0, uint32_t peer = 0);

}  // namespace npu_ipc::sim
