// What the broker counts.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>

#include "plugin/broker/messages.h"

namespace npu_ipc::broker {

// What became of what this node had to tell the API server.
struct ApiCounts {
  uint64_t failed_calls = 0;
  uint64_t events_written = 0;
  uint64_t events_dropped = 0;
  uint64_t events_waiting = 0;
  bool labels_current = false;
  std::string label_problem;  // why not; empty while nothing has failed
};

// Every method is safe for concurrent use: the loop counts, the HTTP threads write it out. Names
// start with npu_ipc_broker_. Every series is there from the start, at 0: so that a rate has
// something to start from, and whoever writes an alert finds the labels.
class Metrics {
 public:
  explicit Metrics(const std::string& version);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void SetClients(size_t clients);
  void SetRegions(size_t regions);
  void SetGrants(size_t grants);
  void SetWaitingAttaches(size_t attaches);
  void SetWaitingWhitelistCalls(size_t calls);
  void SetRevokedMappings(size_t grants);
  void SetRotatingKeys(size_t keys);
  void SetSubscriptions(size_t subscriptions);
  void SetPods(size_t pods, bool directory_ready);

  // Counts that were kept elsewhere, since the start.
  void SetApiCounts(const ApiCounts& counts);

  void CountConnection();
  // One finished attach: "granted", "importer_gone", or the name of the status it was refused with.
  void CountAttach(std::string_view result);
  // One request or connection that was refused for what it is, of any kind.
  void CountDenial(wire::Status reason);
  // One answered (or never answered: kTimedOut) whitelist call of an exporter.
  void CountWhitelistCall(wire::Status result);
  // One process that a key lists although it ended before it could be granted.
  void CountTaintedKey();
  // One right that was taken back, by what the next request would be refused with.
  void CountRevocation(wire::Status reason);
  // One rotation of a key: "ok", "failed", "timed_out", "exporter_gone", "withdrawn" where its
  // program closed it meanwhile, "unsupported" where the exporter's library cannot do it.
  void CountRotation(std::string_view result);
  // Regions whose key's rotation failed.
  void CountLostRegions(size_t regions);
  // One client that was dropped because it does not read.
  void CountSlowClient();

  // Prometheus' text format, with a HELP line for each.
  std::string Text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace npu_ipc::broker
