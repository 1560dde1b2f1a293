// What the kernel says of a process. All functions are safe for concurrent use.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <optional>
#include <string>

#include "hal/base/fd.h"
#include "hal/base/result.h"

namespace npu_ipc {

// The process at the other end of a local socket, as the kernel recorded it at connect(2).
struct PeerProcess {
  pid_t pid = 0;  // in this process' PID namespace; never 0
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t start_time_ticks = 0;  // /proc/<pid>/stat field 22: with pid, unique since boot
  UniqueFd pidfd;  // readable once the process has ended; names this process for good
  // Where the kernel has no pidfds (before 5.3): /proc/<pid>, which names this process for good
  // too, but has to be looked at (ProcessAlive) to learn that it has ended.
  UniqueFd proc_directory;
};

// Identifies the peer of a connected AF_UNIX socket before a byte of it is read: SO_PEERCRED, then
// SO_PEERPIDFD where the kernel has it (6.5 and later), else pidfd_open with the start time read
// before and after.
//
// Only SO_PEERPIDFD knows the peer itself. An older kernel knows its pid, which another process may
// have by now, unless that one had it before the connection was made: `connected_after_ticks`, in
// the unit of start times, is a moment before that (UnixListener::idle_since_ticks()). A process
// that started later is not taken for the peer: kUnavailable, and a new connection of the same
// process succeeds. Without it, such a peer is taken as it looks.
//
// kFailedPrecondition when the kernel reports pid 0 (the peer is in no PID namespace that this
// process sees: a container without hostPID); kNotFound when the peer has already ended.
Result<PeerProcess> IdentifyPeer(int socket_fd,
                                 std::optional<uint64_t> connected_after_ticks = std::nullopt);

// Now, in the unit of start times. A process that starts later has a start time of at least this.
uint64_t TicksSinceBoot();

// Start time of `pid` in clock ticks since boot. kNotFound when there is no such process.
Result<uint64_t> ProcessStartTime(pid_t pid);

// A pidfd of `pid`. kNotFound when there is no such process.
Result<UniqueFd> OpenPidfd(pid_t pid);

// True until the process that `pidfd` names has ended (a zombie has ended).
bool ProcessAlive(int pidfd);
bool ProcessAlive(const PeerProcess& process);

// The whole of a small file (procfs, sysfs, config), at most `limit` bytes: kResourceExhausted
// beyond it.
Result<std::string> ReadFile(const std::string& path, size_t limit = 1 << 20);

}  // namespace npu_ipc
