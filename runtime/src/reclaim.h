// Tells a broker that does not know this client what it holds.
#pragma once

#include <stdint.h>

#include "runtime/src/connection.h"
#include "runtime/src/message.h"

namespace npu_ipc::runtime {

class Client;

// Belongs to the service thread. After a connection was lost, what is told over the next one is, in
// this order: the pairs of devices that are enabled, the regions, the mappings, and that this is
// all. As much is sent as the socket takes: the thread reads the answers in between, and callers
// may use the connection all the while.
class Reclaimer {
 public:
  explicit Reclaimer(Client* client) : client_(client) {}

  // Sends some of what the connection takes now. Called whenever there is a connection.
  void Step(Connection* connection, uint64_t connection_id);
  // Whether there may be more to send.
  bool telling() const {
    return has_unsent_ || (phase_ != Phase::kNothing && phase_ != Phase::kDone);
  }

  // An answer to what was told. False where `message` is none.
  bool Answered(const Message& message, uint64_t connection_id);

 private:
  enum class Phase { kNothing, kPeers, kRegions, kMappings, kDone };

  void Begin(Connection* connection, uint64_t connection_id);
  // The next message to send, in unsent_. False where there is none.
  bool Compose();
  void FinishIfAnswered();

  Client* const client_;
  uint64_t connection_id_ = 0;
  Phase phase_ = Phase::kNothing;
  uint64_t peer_index_ = 0;
  uint64_t unanswered_ = 0;
  Message unsent_ = {};
  bool has_unsent_ = false;
};

}  // namespace npu_ipc::runtime
