#include "plugin/device_view/device_metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <limits>
#include <map>
#include <utility>
#include <vector>

namespace npu_ipc::device_view {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;

// One family: filled, then moved to where the others are. Left out where it has no sample.
class Family {
 public:
  Family(MetricType type, const std::string& name, const std::string& help)
      : family_{"npu_ipc_" + name, help, type, {}} {}

  Family& Add(Labels labels, double value) {
    ClientMetric& metric = family_.metric.emplace_back();
    metric.label = std::move(labels);
    if (family_.type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    return *this;
  }

  Family& Add(Labels labels, const LatencyHistogram& histogram) {
    ClientMetric& metric = family_.metric.emplace_back();
    metric.label = std::move(labels);
    uint64_t count = 0;
    for (size_t i = 0; i < histogram.counts.size(); ++i) {
      count += histogram.counts[i];
      const bool last = i == LatencyHistogram::kUpperBoundsSeconds.size();
      metric.histogram.bucket.push_back({count, last ? std::numeric_limits<double>::infinity()
                                                     : LatencyHistogram::kUpperBoundsSeconds[i]});
    }
    metric.histogram.sample_count = count;
    metric.histogram.sample_sum = histogram.sum_seconds;
    return *this;
  }

  void MoveTo(std::vector<MetricFamily>* families) {
    if (!family_.metric.empty()) families->push_back(std::move(family_));
  }

 private:
  MetricFamily family_;
};

Family Gauge(const std::string& name, const std::string& help) {
  return {MetricType::Gauge, name, help};
}
Family Counter(const std::string& name, const std::string& help) {
  return {MetricType::Counter, name, help};
}

Labels OfDevice(const std::string& id) { return {{"device", id}}; }
Labels OfResource(const std::string& name) { return {{"resource", name}}; }

void AddView(const View& view, TimePoint now, std::vector<MetricFamily>* families) {
  Gauge("device_view_up", "1 while the device plugin tells of its devices.")
      .Add({}, view.connected ? 1 : 0)
      .MoveTo(families);
  if (const auto age = view.Age(now)) {
    Gauge("device_view_age_seconds", "Time since the device plugin last told of its devices.")
        .Add({}, std::chrono::duration<double>(*age).count())
        .MoveTo(families);
  }
}

void AddNode(const NodeState& state, std::vector<MetricFamily>* families) {
  if (!state.facts.plugin_version.empty()) {
    Gauge("device_plugin_build_info", "1, with the version of the device plugin as a label.")
        .Add({{"version", state.facts.plugin_version}}, 1)
        .MoveTo(families);
  }
  Gauge("device_driver_up", "1 while the driver answers and shows all of its devices.")
      .Add({}, state.facts.problem.empty() ? 1 : 0)
      .MoveTo(families);
  if (!state.facts.driver_version.empty()) {
    Gauge("device_driver_info", "1, with the version of the NPU driver as a label.")
        .Add({{"version", state.facts.driver_version}}, 1)
        .MoveTo(families);
  }
  std::map<std::pair<std::string, bool>, int> devices;  // by resource and health
  for (const auto& [id, device] : state.devices) {
    devices.try_emplace({device.resource, true}, 0);
    devices.try_emplace({device.resource, false}, 0);
    ++devices[{device.resource, device.health.healthy}];
  }
  Family count = Gauge("devices", "Devices of the node, by their resource and health.");
  for (const auto& [key, number] : devices) {
    count.Add({{"health", key.second ? "healthy" : "unhealthy"}, {"resource", key.first}}, number);
  }
  count.MoveTo(families);
}

void AddDevices(const NodeState& state, std::vector<MetricFamily>* families) {
  Family info = Gauge("device_info", "1, with what is known of a device as labels.");
  Family healthy = Gauge("device_healthy", "1 while the device can be given to containers.");
  Family faults = Gauge("device_faults", "Fault codes that the driver reports of the device.");
  Family changes = Counter("device_health_changes_total",
                           "Changes of the device between healthy and unhealthy.");
  Family capacity = Gauge("device_hbm_capacity_bytes", "On-chip memory of the device.");
  Family share =
      Gauge("device_share_enabled",
            "1 where the driver lets several containers use the device; asked where it is "
            "advertised more than once.");
  for (const auto& [id, device] : state.devices) {
    const hal::Device& hardware = device.hardware;
    info.Add({{"chip", hardware.chip_name},
              {"device", id},
              {"node", hardware.device_node},
              {"pci_address", hardware.pci_address},
              {"serial", hardware.serial}},
             1);
    healthy.Add(OfDevice(id), device.health.healthy ? 1 : 0);
    faults.Add(OfDevice(id), static_cast<double>(device.health.fault_codes.size()));
    changes.Add(OfDevice(id), static_cast<double>(device.health_changes));
    capacity.Add(OfDevice(id), static_cast<double>(hardware.memory_bytes));
    if (device.device_share) share.Add(OfDevice(id), *device.device_share ? 1 : 0);
  }
  for (Family* family : {&info, &healthy, &faults, &changes, &capacity, &share}) {
    family->MoveTo(families);
  }
}

void AddUsage(const NodeState& state, std::vector<MetricFamily>* families) {
  Family temperature = Gauge("device_temperature_celsius", "Temperature of the chip.");
  Family memory_temperature =
      Gauge("device_hbm_temperature_celsius", "Temperature of the on-chip memory.");
  Family used = Gauge("device_hbm_used_bytes", "On-chip memory in use.");
  Family bandwidth = Gauge("device_hbm_bandwidth_ratio",
                           "Bandwidth of the on-chip memory in use, of what it has.");
  Family utilization = Gauge("device_utilization_ratio", "Time that the AI cores are busy.");
  Family vector_utilization =
      Gauge("device_vector_core_utilization_ratio", "Time that the vector cores are busy.");
  Family cpu_utilization =
      Gauge("device_ai_cpu_utilization_ratio", "Time that the AI CPUs are busy.");
  const auto add = [](Family& family, const std::string& id, const auto& value, double unit) {
    if (value) family.Add(OfDevice(id), static_cast<double>(*value) / unit);
  };
  for (const auto& [id, usage] : state.usage) {
    add(temperature, id, usage.temperature_celsius, 1);
    add(memory_temperature, id, usage.memory_temperature_celsius, 1);
    add(used, id, usage.memory_used_bytes, 1);
    add(bandwidth, id, usage.memory_bandwidth_percent, 100);
    add(utilization, id, usage.ai_core_percent, 100);
    add(vector_utilization, id, usage.vector_core_percent, 100);
    add(cpu_utilization, id, usage.ai_cpu_percent, 100);
  }
  for (Family* family : {&temperature, &memory_temperature, &used, &bandwidth, &utilization,
                         &vector_utilization, &cpu_utilization}) {
    family->MoveTo(families);
  }
}

// "npu-3" of its replica "npu-3::1".
std::string DeviceOf(const std::string& advertised_id) {
  return advertised_id.substr(0, advertised_id.find("::"));
}

void AddAllocations(const NodeState& state, std::vector<MetricFamily>* families) {
  using Holder = std::array<std::string, 4>;  // container, device, namespace, pod
  std::map<Holder, int> held;
  for (const auto& [number, allocation] : state.allocations) {
    for (const std::string& id : allocation.device_ids) {
      ++held[{allocation.container_name, DeviceOf(id), allocation.pod_namespace,
              allocation.pod_name}];
    }
  }
  std::map<std::string, int> containers;  // by resource
  for (const auto& [id, device] : state.devices) containers.try_emplace(device.resource, 0);
  for (const auto& [number, allocation] : state.allocations) ++containers[allocation.resource];
  Family allocations =
      Gauge("device_allocations", "Containers that were given devices of the resource.");
  for (const auto& [name, count] : containers) allocations.Add(OfResource(name), count);
  allocations.MoveTo(families);

  Family allocated = Gauge("device_allocated",
                           "Times that the device was given to a container: more than once only "
                           "where it is advertised more than once.");
  for (const auto& [holder, times] : held) {
    allocated.Add({{"container", holder[0]},
                   {"device", holder[1]},
                   {"namespace", holder[2]},
                   {"pod", holder[3]}},
                  times);
  }
  allocated.MoveTo(families);
}

void AddKubelet(const std::map<std::string, ResourceStatistics>& resources,
                std::vector<MetricFamily>* families) {
  Family latency(MetricType::Histogram, "device_allocate_duration_seconds",
                 "Time that the kubelet's Allocate calls took, refused ones too.");
  Family failures =
      Counter("device_allocate_failures_total", "Allocate calls of the kubelet that were refused.");
  Family registrations =
      Counter("device_registrations_total", "Registrations with the kubelet that it accepted.");
  for (const auto& [name, statistics] : resources) {
    latency.Add(OfResource(name), statistics.allocate);
    failures.Add(OfResource(name), static_cast<double>(statistics.allocate_failures));
    registrations.Add(OfResource(name), static_cast<double>(statistics.registrations));
  }
  for (Family* family : {&latency, &failures, &registrations}) family->MoveTo(families);
}

}  // namespace

std::string DeviceMetricsText(const std::optional<View>& view, TimePoint now,
                              const std::map<std::string, ResourceStatistics>& own_resources) {
  std::vector<MetricFamily> families;
  std::map<std::string, ResourceStatistics> resources = own_resources;
  if (view) AddView(*view, now, &families);
  if (view && view->state != nullptr) {
    const NodeState& state = *view->state;
    AddNode(state, &families);
    AddDevices(state, &families);
    AddUsage(state, &families);
    AddAllocations(state, &families);
    resources.insert(state.resources.begin(), state.resources.end());
  }
  AddKubelet(resources, &families);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace npu_ipc::device_view
