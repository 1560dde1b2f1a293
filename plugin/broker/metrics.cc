#include "plugin/broker/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <functional>
#include <map>
#include <mutex>
#include <vector>

namespace npu_ipc::broker {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Registry;

Gauge& AddGauge(Registry& registry, const std::string& name, const std::string& help) {
  return BuildGauge().Name("npu_ipc_broker_" + name).Help(help).Register(registry).Add({});
}

Family<Counter>& AddFamily(Registry& registry, const std::string& name, const std::string& help) {
  return BuildCounter().Name("npu_ipc_broker_" + name).Help(help).Register(registry);
}

Counter& AddCounter(Registry& registry, const std::string& name, const std::string& help) {
  return AddFamily(registry, name, help).Add({});
}

// Counters of one name that differ in one label, made once: the library looks a label up by hashing
// and comparing maps.
class CountersByLabel {
 public:
  CountersByLabel(Family<Counter>& family, const std::string& label,
                  const std::vector<std::string>& values) {
    for (const std::string& value : values) counters_.emplace(value, family.Add({{label, value}}));
  }
  // A value that was not given above is not counted.
  void Count(std::string_view value) {
    const auto found = counters_.find(value);
    if (found != counters_.end()) found->second.get().Increment();
  }

 private:
  std::map<std::string, std::reference_wrapper<Counter>, std::less<>> counters_;
};

// The names of all statuses, but for those that are no refusal, and `more`.
std::vector<std::string> Statuses(std::vector<std::string> more) {
  for (auto status = wire::Status::kMalformed; status <= wire::kLastStatus;
       status = static_cast<wire::Status>(static_cast<int32_t>(status) + 1)) {
    more.emplace_back(StatusName(status));
  }
  return more;
}

}  // namespace

struct Metrics::Families {
  Registry registry;
  Gauge& clients = AddGauge(registry, "clients", "Processes that are connected and identified.");
  Gauge& regions = AddGauge(registry, "regions", "Regions that are published.");
  Gauge& grants =
      AddGauge(registry, "grants", "Grants of a region to a process that has not closed it.");
  Gauge& revoked = AddGauge(registry, "revoked_mappings",
                            "Grants whose right was taken back, and whose processes can reach the "
                            "memory until they close them, or the key is rotated.");
  Gauge& rotating = AddGauge(registry, "rotating_keys", "Export keys that are being renewed.");
  Gauge& waiting = AddGauge(registry, "waiting_attaches",
                            "Attach requests that wait for a region or for its exporter.");
  Gauge& subscriptions =
      AddGauge(registry, "subscriptions", "Subscriptions of clients to regions by their names.");
  Gauge& pods = AddGauge(registry, "pods", "Pods that the pod directory knows.");
  Gauge& pods_ready =
      AddGauge(registry, "pod_directory_ready", "1 while the source of the pod directory is well.");
  Gauge& asked = AddGauge(registry, "waiting_whitelist_calls",
                          "Exporters' answers that attach requests wait for.");
  Counter& api_errors = AddCounter(registry, "api_errors_total",
                                   "Calls to the API server that failed or were refused.");
  Counter& events_written =
      AddCounter(registry, "events_written_total", "Events that the API server took.");
  Counter& events_dropped =
      AddCounter(registry, "events_dropped_total",
                 "Events that the API server will not get: too many at once, or refused by it.");
  Gauge& events_waiting =
      AddGauge(registry, "waiting_events", "Events that the API server has not taken yet.");
  Gauge& labels_current = AddGauge(registry, "node_labels_current",
                                   "1 while the node has the labels that it should have.");
  std::mutex api_counts_mutex;  // of the counters that are set
  Counter& connections =
      AddCounter(registry, "connections_total", "Connections that were accepted.");
  CountersByLabel attaches{
      AddFamily(registry, "attaches_total", "Attach requests that were answered, by their result."),
      "result", Statuses({"granted", "importer_gone"})};
  CountersByLabel denials{
      AddFamily(registry, "denials_total", "Requests and connections refused, by the reason."),
      "reason", Statuses({})};
  CountersByLabel whitelist_calls{
      AddFamily(registry, "whitelist_calls_total",
                "Exporters asked to whitelist a process, by the result of it."),
      "result", Statuses({"ok"})};
  Counter& tainted_keys =
      AddCounter(registry, "tainted_keys_total",
                 "Processes on a key's whitelist that ended before they could be granted.");
  CountersByLabel revocations{AddFamily(registry, "revocations_total",
                                        "Rights in use that were taken back, by the reason."),
                              "reason", Statuses({})};
  CountersByLabel rotations{
      AddFamily(registry, "key_rotations_total", "Rotations of an export key, by their result."),
      "result",
      {"ok", "failed", "timed_out", "exporter_gone", "withdrawn", "unsupported"}};
  Counter& lost_regions = AddCounter(registry, "lost_regions_total",
                                     "Regions that ended because their key's rotation failed.");
  Counter& slow_clients = AddCounter(registry, "slow_clients_total",
                                     "Clients dropped because they did not read what was sent.");
};

Metrics::Metrics(const std::string& version) : families_(std::make_unique<Families>()) {
  BuildGauge()
      .Name("npu_ipc_broker_build_info")
      .Help("1, with the version of this broker as a label.")
      .Register(families_->registry)
      .Add({{"version", version}})
      .Set(1);
}

Metrics::~Metrics() = default;

void Metrics::SetClients(size_t clients) { families_->clients.Set(static_cast<double>(clients)); }
void Metrics::SetRegions(size_t regions) { families_->regions.Set(static_cast<double>(regions)); }
void Metrics::SetGrants(size_t grants) { families_->grants.Set(static_cast<double>(grants)); }
void Metrics::SetWaitingAttaches(size_t attaches) {
  families_->waiting.Set(static_cast<double>(attaches));
}
void Metrics::SetWaitingWhitelistCalls(size_t calls) {
  families_->asked.Set(static_cast<double>(calls));
}
void Metrics::SetRevokedMappings(size_t grants) {
  families_->revoked.Set(static_cast<double>(grants));
}
void Metrics::SetRotatingKeys(size_t keys) { families_->rotating.Set(static_cast<double>(keys)); }
void Metrics::SetSubscriptions(size_t subscriptions) {
  families_->subscriptions.Set(static_cast<double>(subscriptions));
}
void Metrics::SetPods(size_t pods, bool directory_ready) {
  families_->pods.Set(static_cast<double>(pods));
  families_->pods_ready.Set(directory_ready ? 1 : 0);
}

void Metrics::SetApiCounts(const ApiCounts& counts) {
  const auto set = [](Counter& counter, uint64_t value) {
    counter.Increment(static_cast<double>(value) - counter.Value());
  };
  const std::lock_guard lock(families_->api_counts_mutex);
  set(families_->api_errors, counts.failed_calls);
  set(families_->events_written, counts.events_written);
  set(families_->events_dropped, counts.events_dropped);
  families_->events_waiting.Set(static_cast<double>(counts.events_waiting));
  families_->labels_current.Set(counts.labels_current ? 1 : 0);
}

void Metrics::CountConnection() { families_->connections.Increment(); }
void Metrics::CountAttach(std::string_view result) { families_->attaches.Count(result); }
void Metrics::CountDenial(wire::Status reason) { families_->denials.Count(StatusName(reason)); }
void Metrics::CountWhitelistCall(wire::Status result) {
  families_->whitelist_calls.Count(StatusName(result));
}
void Metrics::CountTaintedKey() { families_->tainted_keys.Increment(); }
void Metrics::CountRevocation(wire::Status reason) {
  families_->revocations.Count(StatusName(reason));
}
void Metrics::CountRotation(std::string_view result) { families_->rotations.Count(result); }
void Metrics::CountLostRegions(size_t regions) {
  families_->lost_regions.Increment(static_cast<double>(regions));
}
void Metrics::CountSlowClient() { families_->slow_clients.Increment(); }

std::string Metrics::Text() const {
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace npu_ipc::broker
