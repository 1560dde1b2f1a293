#include "hal/sim/driver/control.h"

#include <string.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "hal/sim/driver/json_object.h"

namespace npu_ipc::sim {
namespace {

using nlohmann::json;

constexpr uint32_t kAbsent = 0xFFFFFFFF;  // DCMI's health of a device that is not there
constexpr size_t kFaultNameLimit = 100;
constexpr const char* kSeverities[] = {"notice", "minor", "major", "critical"};
constexpr const char* kHealthLevels[] = {"ok", "minor", "major", "critical"};
// DCMI's type numbers: what "utilization" stands for.
constexpr uint32_t kComputeTypes[] = {2, 12, 13};  // AI core, vector core, the whole NPU
constexpr uint32_t kMemoryBandwidthType = 10;

std::string HealthName(uint32_t health) {
  return health == kAbsent ? "absent" : kHealthLevels[std::min(health, 3u)];
}

std::string Hexadecimal(uint32_t value) {
  char text[16];
  ::snprintf(text, sizeof(text), "0x%08x", value);
  return text;
}

json Describe(const Fault& fault) {
  return {{"code", Hexadecimal(fault.code)},
          {"severity", kSeverities[std::min(fault.severity, 3u)]},
          {"node_type", fault.node_type},
          {"name", fault.name},
          {"raised_at_ms", fault.raised_at_ms}};
}

json Describe(const DcmiTrouble& trouble) {
  return {{"hang", trouble.hangs}, {"code", trouble.code}};
}

json DescribeDevice(const Driver& driver, uint32_t device) {
  const DeviceConditions& conditions = driver.conditions();
  const DeviceCondition& condition = conditions.Get(device);
  const auto& order = conditions.order();
  const auto place = std::find(order.begin(), order.end(), device);
  json shown = {{"device", device},
                {"present", condition.present},
                {"logical_id", place == order.end() ? json(nullptr) : json(place - order.begin())},
                {"health", HealthName(condition.Health())},
                {"temperature", condition.temperature_celsius},
                {"utilization", condition.utilization_percent[kComputeTypes[0]]},
                {"memory_bandwidth", condition.utilization_percent[kMemoryBandwidthType]},
                {"memory_used", driver.MemoryUsed(device)},
                {"extra_memory", condition.extra_memory_bytes},
                {"device_share", driver.IsShared(device)},
                {"processes", driver.ProcessesOn(device)},
                {"dcmi", Describe(conditions.TroubleOf(device))},
                {"faults", json::array()}};
  for (const Fault& fault : condition.faults) shown["faults"].push_back(Describe(fault));
  return shown;
}

// One command's arguments and what they do.
class Command {
 public:
  Command(Driver& driver, const json& request)
      : driver_(driver), in_(request, "request", &status_) {}

  json Run();

 private:
  bool Has(const char* key) {
    in_.Ignore(key);
    return in_.Has(key);
  }
  uint32_t Device();
  uint32_t Percent(const char* key) { return static_cast<uint32_t>(in_.Number(key, 0, 100)); }
  Fault ReadFault();
  // Nothing is done before all arguments are known to be good.
  bool Accepted() {
    in_.RejectUnknownKeys();
    return status_.ok();
  }
  void Fail(const Verdict& verdict) {
    if (!verdict.ok() && status_.ok()) status_ = {StatusCode::kFailedPrecondition, verdict.reason};
  }

  json Show();
  void Set();
  std::optional<int64_t> ReadHealth();
  void SetTrouble();

  Driver& driver_;
  Status status_;
  JsonObject in_;
};

json Command::Run() {
  const std::string name = in_.Text("command", 31);
  DeviceConditions& conditions = driver_.conditions();
  json answer = {{"ok", true}};
  if (name == "show") {
    if (Accepted()) answer = Show();
  } else if (name == "set") {
    Set();
  } else if (name == "inject") {
    const uint32_t device = Device();
    const Fault fault = ReadFault();
    if (Accepted()) Fail(conditions.Raise(device, fault));
  } else if (name == "report") {
    const uint32_t device = Device();
    const Fault fault = ReadFault();
    if (Accepted()) conditions.Report(device, fault);
  } else if (name == "clear") {
    const uint32_t device = Device();
    const bool all = !Has("code");
    const auto code = all ? 0 : static_cast<uint32_t>(in_.Hexadecimal("code", UINT32_MAX));
    if (Accepted() && all) conditions.ClearAll(device);
    if (status_.ok() && !all) Fail(conditions.Clear(device, code));
  } else if (name == "remove") {
    const uint32_t device = Device();
    if (Accepted()) Fail(conditions.Remove(device));
  } else if (name == "restore") {
    const uint32_t device = Device();
    const int64_t place = Has("logical_id") ? in_.Number("logical_id", 0, kMaxDevices - 1) : -1;
    if (Accepted()) Fail(conditions.Restore(device, place));
  } else if (name == "dcmi") {
    SetTrouble();
  } else {
    in_.Fail("command", "show, set, inject, report, clear, remove, restore or dcmi");
  }
  if (!status_.ok()) return {{"error", status_.message()}};
  return answer;
}

uint32_t Command::Device() {
  const auto count = static_cast<int64_t>(driver_.shape().devices.size());
  return static_cast<uint32_t>(in_.Number("device", 0, count - 1));
}

Fault Command::ReadFault() {
  Fault fault;
  fault.code = static_cast<uint32_t>(in_.Hexadecimal("code", UINT32_MAX));
  fault.severity = 3;
  if (Has("severity")) {
    const std::string severity = in_.Text("severity", 31);
    const auto* const found = std::find(std::begin(kSeverities), std::end(kSeverities), severity);
    if (found == std::end(kSeverities)) in_.Fail("severity", "notice, minor, major or critical");
    fault.severity = static_cast<uint32_t>(found - kSeverities);
  }
  if (Has("node_type")) fault.node_type = static_cast<uint32_t>(in_.Number("node_type", 0, 255));
  fault.name = Has("name") ? in_.Text("name", kFaultNameLimit) : "a fault injected by hand";
  return fault;
}

std::optional<int64_t> Command::ReadHealth() {
  if (!Has("health")) return std::nullopt;
  const std::string level = in_.Text("health", 31);
  if (level == "auto") return DeviceCondition::kHealthOfFaults;
  if (level == "absent") return int64_t{kAbsent};
  const auto* const found = std::find(std::begin(kHealthLevels), std::end(kHealthLevels), level);
  if (found == std::end(kHealthLevels)) {
    in_.Fail("health", "ok, minor, major, critical, absent or auto (as its faults say)");
  }
  return found - kHealthLevels;
}

void Command::Set() {
  const uint32_t device = Device();
  DeviceCondition changed = driver_.conditions().Get(device);
  changed.health = ReadHealth().value_or(changed.health);
  if (Has("temperature")) {
    changed.temperature_celsius = static_cast<int32_t>(in_.Number("temperature", -273, 1000));
  }
  if (Has("utilization")) {
    const uint32_t percent = Percent("utilization");
    for (const uint32_t type : kComputeTypes) changed.utilization_percent[type] = percent;
  }
  if (Has("memory_bandwidth")) {
    changed.utilization_percent[kMemoryBandwidthType] = Percent("memory_bandwidth");
  }
  if (Has("extra_memory")) {
    changed.extra_memory_bytes = static_cast<uint64_t>(in_.Number("extra_memory", 0, INT64_MAX));
  }
  if (Accepted()) driver_.conditions().Mutable(device) = std::move(changed);
}

void Command::SetTrouble() {
  DeviceConditions& conditions = driver_.conditions();
  DcmiTrouble& trouble = Has("device") ? conditions.TroubleOf(Device()) : conditions.trouble();
  DcmiTrouble changed = trouble;
  if (Has("hang")) changed.hangs = in_.Number("hang", 0, 1) == 1;
  if (Has("code")) changed.code = static_cast<int32_t>(in_.Number("code", -8255, 0));
  if (Accepted()) trouble = changed;
}

json Command::Show() {
  json shown = {{"ok", true},
                {"description", driver_.shape().description},
                {"dcmi", Describe(driver_.conditions().trouble())},
                {"fault_subscribers", driver_.fault_subscribers()},
                {"devices", json::array()}};
  for (uint32_t device = 0; device < driver_.shape().devices.size(); ++device) {
    shown["devices"].push_back(DescribeDevice(driver_, device));
  }
  return shown;
}

}  // namespace

Control::Control(Driver& driver, std::function<void()> on_change)
    : driver_(driver), on_change_(std::move(on_change)) {}

std::string Control::Run(std::string_view request) {
  const json parsed = json::parse(request, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return R"({"error":"not JSON"})";
  const json answer = Command(driver_, parsed).Run();
  on_change_();
  return answer.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace npu_ipc::sim
