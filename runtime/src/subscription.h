// What a client has asked to be told of, and what it lists.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "runtime/include/npu_ipc.h"
#include "runtime/protocol/wire.h"
#include "runtime/src/connection.h"
#include "runtime/src/deadline.h"
#include "runtime/src/event_queue.h"
#include "runtime/src/list.h"
#include "runtime/src/message.h"

namespace npu_ipc::runtime {

class Client;

// What the program has not read yet of one name: its latest state.
struct WaitingChange : ListLink<WaitingChange> {
  WaitingChange* next_of_bucket = nullptr;
  wire::Change change = wire::Change::kGone;
  wire::RegionDescription region = {};
};

struct SubscribeRequest {
  const char* group;   // empty: the only one
  const char* prefix;  // empty: every name
  bool admit_ahead;
  uint32_t max_waiting;
};

// npu_ipc_subscription.
struct Subscription : ListLink<Subscription> {
  static constexpr size_t kBuckets = 64;

  // Fixed once subscribed.
  pid_t pid = 0;
  Client* client = nullptr;
  wire::Subscribe request = {};  // as it is sent again to the next broker
  uint32_t max_waiting = 0;
  // Guarded by the client's lock.
  uint64_t subscription_id = 0;
  uint64_t connection_id = 0;  // over which the broker knows it; 0: none does
  uint64_t asked_id = 0;       // a Subscribe that the service thread has sent, not answered yet
  uint64_t asked_over = 0;     // the connection that it was sent over
  bool reset_waits = false;    // the program is to forget what it was told, before it reads on
  bool overflowed = false;     // not subscribed again before the program has read that
  uint32_t waiting_count = 0;
  List<WaitingChange> waiting;
  WaitingChange* buckets[kBuckets] = {};  // of `waiting`, by name
  EventSource event;
};

class Subscriber {
 public:
  explicit Subscriber(Client* client) : client_(client) {}
  ~Subscriber();

  // NOT_FOUND when there is none after `after`.
  npu_ipc_status ListRegion(const char* group, const char* prefix, const char* after,
                            wire::RegionDescription* region);
  npu_ipc_status Subscribe(const SubscribeRequest& request, Subscription** result);
  void Unsubscribe(Subscription* subscription);
  // NO_EVENT when nothing came until `deadline`.
  npu_ipc_status Next(Subscription* subscription, Deadline deadline, npu_ipc_change* change,
                      wire::RegionDescription* region);

  // Service thread: subscribes again what the broker of this connection does not know.
  void Renew(Connection* connection, uint64_t connection_id);
  // Service thread: whether `message` is the answer to that.
  bool Answered(const Message& message, uint64_t connection_id);
  void Changed(const wire::RegionChange& change, uint64_t connection_id);
  // Service thread: an answer to a Subscribe that nobody waits for any more.
  void GiveBack(const wire::Subscribed& subscribed, uint64_t connection_id);
  // With the client's lock held: the broker that knew the subscriptions is gone.
  void LoseAll();

 private:
  static void OnSubscribed(void* subscription, const Message& reply, uint64_t connection_id);
  npu_ipc_status CheckBroker();
  Subscription* NextToRenew(uint64_t connection_id);
  void TellUnsubscribe(uint64_t connection_id, uint64_t subscription_id);

  Client* const client_;
  List<Subscription> subscriptions_;  // guarded by the client's lock
};

}  // namespace npu_ipc::runtime
