// Brings a client's connection back when the broker was restarted, without a call of the program's.
#pragma once

#include <stdint.h>

#include "runtime/src/connection.h"
#include "runtime/src/deadline.h"

namespace npu_ipc::runtime {

class Client;

// Belongs to the service thread, which never waits in it: it polls descriptor() until due(), and
// calls Step(). Attempts follow each other at a short, jittered distance, so that the broker that
// comes back has everybody within a second, and not all at once. A caller that connects meanwhile
// (Client) goes first.
class Reconnector {
 public:
  explicit Reconnector(Client* client) : client_(client) {}
  ~Reconnector() { StopGreeting(); }
  Reconnector(const Reconnector&) = delete;
  Reconnector& operator=(const Reconnector&) = delete;

  // Does what can be done now. Only while the client has no connection.
  void Step();
  // The client has a connection, whoever made it.
  void Rest();

  // -1 while nothing is waited for.
  int descriptor() const;
  // When Step() has something to do although the descriptor is not readable.
  Deadline due() const { return due_; }

 private:
  enum class State { kResting, kPausing, kGreeting };

  void Greet();
  void HearWelcome();
  void StopGreeting();
  // The next attempt comes about `milliseconds` later, the one after that later still.
  void Pause(uint32_t milliseconds);
  // Between half of `milliseconds` and all of it.
  uint32_t Jitter(uint32_t milliseconds);

  Client* const client_;
  State state_ = State::kResting;
  Deadline due_ = Deadline::Never();
  Connection* greeting_ = nullptr;  // has been sent Hello
  uint32_t pause_ms_ = 10;
  uint64_t random_ = 0;
};

}  // namespace npu_ipc::runtime
