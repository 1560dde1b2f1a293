// The simulated driver's socket: who is at the other end, and the requests that it sends.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "hal/base/event_loop.h"
#include "hal/base/process.h"
#include "hal/base/unix_socket.h"
#include "hal/sim/driver/driver.h"
#include "hal/sim/driver/process_facts.h"

namespace npu_ipc::sim {

// A caller is identified by the kernel before its first byte is read, and is the process that
// called connect(2): a forked child that uses the socket speaks as its parent. What a process holds
// is the process', whichever of its connections asked for it, and is taken back when its pidfd says
// that it has ended, or when its last connection is closed. A connection that sends anything but a
// request gets EINVAL and is closed; so is one that sends while its last request hangs, or after it
// subscribed to faults. Everything runs on the loop's thread.
class Server {
 public:
  // `loop` and `driver` outlive this object. `verbose` logs every refusal, with its reason, on
  // stderr.
  static Result<std::unique_ptr<Server>> Create(EventLoop& loop, Driver& driver,
                                                ProcessInspector inspector,
                                                std::unique_ptr<UnixListener> listener,
                                                bool verbose);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Answers what the driver had to leave unanswered and no longer has to.
  void AnswerHeld();

 private:
  using ConnectionId = uint64_t;
  struct Connection {
    UniqueFd fd;
    pid_t pid;
    EventLoop::WatchId watch;
    std::optional<Request> held = std::nullopt;  // a request that hangs
    bool hears_faults = false;
  };
  struct Process {
    UniqueFd pidfd;
    uint64_t start_time_ticks;
    std::unordered_set<ConnectionId> connections;
  };

  Server(EventLoop& loop, Driver& driver, ProcessInspector inspector,
         std::unique_ptr<UnixListener> listener, bool verbose);
  void OnAccept();
  void LogRefusal(const Status& status);
  void PauseAccepting(const Status& reason);
  Status Admit(UniqueFd fd);
  Status AdmitProcess(PeerProcess peer);
  void EndEndedProcesses();
  void OnReadable(ConnectionId id);
  bool ReadRequest(ConnectionId id);
  bool Answer(Connection& connection, const Request& request);
  void PassOnFault(uint32_t device, const Fault& fault, FaultAssertion assertion);
  bool SendError(Connection& connection, int error);
  Status RefreshFacts(pid_t pid);
  void CloseConnection(ConnectionId id);
  void EndProcess(pid_t pid);

  EventLoop& loop_;
  Driver& driver_;
  ProcessInspector inspector_;
  std::unique_ptr<UnixListener> listener_;
  const bool verbose_;
  bool reported_refusal_ = false;
  EventLoop::WatchId listener_watch_ = 0;
  UniqueFd pidfds_;  // an epoll of every process' pidfd, with the pid
  EventLoop::WatchId pidfds_watch_ = 0;
  EventLoop::TimerId resume_timer_ = 0;
  ConnectionId next_connection_ = 1;
  std::unordered_map<ConnectionId, Connection> connections_;
  std::unordered_map<pid_t, Process> processes_;
};

}  // namespace npu_ipc::sim
