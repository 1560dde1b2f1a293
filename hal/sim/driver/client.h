// The vendor libraries' end of the simulated driver: one connection a process, made when first
// needed, made again when the driver was restarted or the process has forked.
#pragma once

#include <stdint.h>

#include <atomic>
#include <string>
#include <vector>

#include "hal/base/fd.h"
#include "hal/base/result.h"
#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {

// Where the driver listens for the library or program that this code is linked into: beside its
// file, as the loader named it (symbolic links are not followed, so that a directory of links to
// the libraries can have a driver of its own). kNotFound when the loader does not know the file.
Result<std::string> DriverSocketPath();

struct DriverReply {
  Reply reply = {};  // reply.error says whether the driver did it
  std::vector<UniqueFd> descriptors;
  // Which connection this came over. It differs from that of an earlier reply after a restart of
  // the driver and in a forked child: handles and descriptors of the other are void.
  uint64_t connection = 0;
};

// Safe for concurrent use; calls are answered one at a time, as by a driver that holds one lock.
// A forked child may go on using its parent's object: it gets a connection of its own, also when
// another thread of the parent was in a call at that moment.
class DriverClient {
 public:
  // `socket_path`: usually DriverSocketPath().
  explicit DriverClient(std::string socket_path);
  ~DriverClient();
  DriverClient(const DriverClient&) = delete;
  DriverClient& operator=(const DriverClient&) = delete;

  // Sends `request` (its version is filled in) and waits for the answer, for as long as the driver
  // takes. A connection that broke before the answer is made again once: the driver that held it is
  // gone, and with it whatever the request may have done. kUnavailable or kNotFound when there is
  // no driver; kInternal when what answers is not a driver of this build.
  Result<DriverReply> Call(Request request);

 private:
  struct Channel;
  Channel& CurrentChannel();

  const std::string socket_path_;
  std::atomic<Channel*> channel_;
};

}  // namespace npu_ipc::sim
