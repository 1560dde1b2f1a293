// A client of the broker that speaks wire.h itself: no library, no vendor, so that what is measured
// beside it is the broker.
#pragma once

#include <stdint.h>

#include <string>
#include <vector>

#include "hal/base/fd.h"
#include "hal/base/result.h"
#include "runtime/protocol/wire.h"

namespace npu_ipc {

// One connection, used by one thread of the process that opened it. Every call that waits for the
// broker does so without a deadline, and answers the broker's questions meanwhile.
class WireClient {
 public:
  // Connects and says Hello. The status of a broker that refuses it is in the message.
  static Result<WireClient> Open(const std::string& socket_path);

  // A region of one page on device 0, under a key that is made up of its name.
  Status Publish(const std::string& name);

  // On demand, until the grant; the device is the exporter's.
  Status Attach(const std::string& name);

  // Whitelists whoever the broker names, as fast as it can, until the broker is gone.
  void ServeAdmits();

  int fd() const { return socket_.get(); }

 private:
  explicit WireClient(UniqueFd socket) : socket_(std::move(socket)) {}

  // Sends a request and returns its answer, an `M`.
  template <class M, class Request>
  Result<M> Ask(const Request& request, wire::MessageType answer);
  // The next message that is no Admit; those are answered. kUnavailable once the broker is gone.
  Result<wire::MessageType> Receive(char (&packet)[wire::kMaxMessageBytes]);

  UniqueFd socket_;
  uint64_t next_request_ = 1;
};

}  // namespace npu_ipc
