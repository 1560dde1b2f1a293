#include "plugin/kubectl/views.h"

#include <algorithm>
#include <map>
#include <utility>

#include "plugin/kubectl/fields.h"

namespace npu_ipc::kubectl {
namespace {

using Json = nlohmann::json;
using Row = std::vector<std::string>;

std::string Integer(const Json& object, const char* name) {
  const auto value = Number(object, name);
  return value ? std::to_string(*value) : "";
}

std::string Bytes(const Json& object, const char* name) {
  const auto value = Number(object, name);
  return value && *value >= 0 ? FormatBytes(static_cast<uint64_t>(*value)) : "";
}

std::string Age(const Json& object, const char* name = "ageSeconds") {
  const auto value = Number(object, name);
  return value ? FormatAge(*value) : "";
}

std::string Percent(const Json& object, const char* name) {
  const std::string value = Integer(object, name);
  return value.empty() ? "<unknown>" : value + "%";
}

void Append(const std::string& part, std::string* list) {
  if (!part.empty()) *list += (list->empty() ? "" : ",") + part;
}

std::string PodName(const Json& process) {
  const std::string pod = Text(process, "pod");
  return pod.empty() ? "" : Text(process, "namespace") + "/" + pod;
}

// "3", "3?" where nothing but the program says so, "3!" where it was given another.
std::string Device(const Json& holder) {
  const Json& device = Field(holder, "device");
  const std::string evidence = Text(device, "evidence");
  return Integer(device, "physicalId") + (evidence == "Claimed"        ? "?"
                                          : evidence == "Contradicted" ? "!"
                                                                       : "");
}

// "4242(7)": the pid on the host, and in the container.
std::string Pids(const Json& process) {
  const std::string inner = Integer(process, "containerPid");
  return Integer(process, "hostPid") + (inner.empty() ? "" : "(" + inner + ")");
}

void CollectItems(const Json& document, Json* items) {
  for (Json item : Field(document, "items")) {
    if (!item.is_object()) continue;
    item["node"] = Text(document, "node");
    items->push_back(std::move(item));
  }
}

bool IsOfNamespace(const Json& item, const std::string& pod_namespace) {
  return Text(item, "namespace") == pod_namespace;
}

// devices

void CollectDevices(const Json& document, Json* items) {
  const size_t before = items->size();
  CollectItems(document, items);
  for (size_t i = before; i < items->size(); ++i) {
    (*items)[i]["view"] = Field(document, "view");
  }
}

std::string Holders(const Json& device) {
  std::string holders;
  for (const Json& holder : Field(device, "holders")) {
    const std::string pod = PodName(holder);
    Append(pod.empty() ? "<unknown>" : pod, &holders);
  }
  return holders;
}

std::string HealthText(const Json& device) {
  const Json& health = Field(device, "health");
  const bool stale = Text(Field(device, "view"), "state") != "Connected";
  return std::string(IsTrue(health, "healthy") ? "Healthy" : "Unhealthy") +
         (stale ? ",Stale(" + Age(Field(device, "view")) + ")" : "");
}

Table DevicesTable(const Json& items) {
  Table table{{{"NODE"},
               {"DEVICE"},
               {"CHIP"},
               {"HEALTH"},
               {"MEMORY"},
               {"HELD-BY"},
               {"ID", true},
               {"RESOURCE", true},
               {"NUMA", true},
               {"PCI", true},
               {"REASON", true}},
              {}};
  for (const Json& item : items) {
    table.rows.push_back({Text(item, "node"), Integer(item, "physicalId"), Text(item, "chip"),
                          HealthText(item), Bytes(item, "memoryBytes"), Holders(item),
                          Text(item, "id"), Text(item, "resource"), Integer(item, "numaNode"),
                          Text(item, "pciAddress"), Text(Field(item, "health"), "reason")});
  }
  return table;
}

// pods

std::string Groups(const Json& pod) {
  std::string groups;
  for (const Json& group : Field(pod, "policy", "groups")) {
    const std::string role = Text(group, "role");
    Append(Text(group, "name") + (role == "both" ? "" : ":" + role), &groups);
  }
  return groups;
}

std::string DevicesOf(const Json& pod) {
  std::string devices;
  for (const Json& allocation : Field(pod, "allocations")) {
    for (const Json& device : Field(allocation, "devices")) {
      Append(Integer(device, "physicalId"), &devices);
    }
  }
  return devices;
}

Table PodsTable(const Json& items) {
  Table table{{{"NAMESPACE"},
               {"NAME"},
               {"NODE"},
               {"STATUS"},
               {"GROUPS"},
               {"DEVICES"},
               {"PROCESSES"},
               {"REGIONS"},
               {"MAPPINGS"},
               {"REVOKE", true},
               {"INJECT", true},
               {"PIDS", true},
               {"ERROR", true}},
              {}};
  for (const Json& item : items) {
    int64_t connected = 0;
    int64_t regions = 0;
    int64_t mappings = 0;
    std::string pids;
    for (const Json& process : Field(item, "processes")) {
      connected += IsTrue(process, "connected") ? 1 : 0;
      regions += Number(process, "regions").value_or(0);
      mappings += Number(process, "mappings").value_or(0);
      Append(Pids(process), &pids);
    }
    const std::string error = Text(item, "annotationError");
    const char* const status = !error.empty()             ? "BadAnnotation"
                               : !item.contains("policy") ? "NotSharing"
                               : regions + mappings > 0   ? "Sharing"
                               : connected > 0            ? "Connected"
                                                          : "NotConnected";
    table.rows.push_back({Text(item, "namespace"), Text(item, "name"), Text(item, "node"), status,
                          Groups(item), DevicesOf(item), std::to_string(connected),
                          std::to_string(regions), std::to_string(mappings),
                          Text(Field(item, "policy"), "revoke"),
                          Text(Field(item, "policy"), "inject"), pids, error});
  }
  return table;
}

// shares

void CollectShares(const Json& document, Json* items) {
  CollectItems(document, items);
  for (Json mapping : Field(document, "looseMappings")) {
    if (!mapping.is_object()) continue;
    // A region of an exporter that has gone, or has not come back: its importers are known alone.
    const std::string name = Text(mapping, "region");
    const size_t slash = name.rfind('/');
    Json item = {{"node", Text(document, "node")},
                 {"group", slash == std::string::npos ? "" : name.substr(0, slash)},
                 {"region", slash == std::string::npos ? name : name.substr(slash + 1)},
                 {"state", "ExporterGone"},
                 {"device", Field(mapping, "exporterDevice")},
                 {"exporter", {{"hostPid", Field(mapping, "exporterHostPid")}}},
                 {"ageSeconds", Field(mapping, "ageSeconds")},
                 {"importerCount", 1}};
    for (const char* const of_region : {"region", "exporterDevice", "exporterHostPid"}) {
      mapping.erase(of_region);
    }
    item["importers"] = Json::array({std::move(mapping)});
    items->push_back(std::move(item));
  }
}

bool ShareConcerns(const Json& item, const std::string& pod_namespace) {
  if (Text(item, "group").starts_with(pod_namespace + "/") ||
      IsOfNamespace(Field(item, "exporter"), pod_namespace)) {
    return true;
  }
  const Json& importers = Field(item, "importers");
  return std::any_of(importers.begin(), importers.end(),
                     [&](const Json& importer) { return IsOfNamespace(importer, pod_namespace); });
}

// One row an importer, so that each can be found; a region that nobody has mapped has one, too.
Table SharesTable(const Json& items) {
  Table table{{{"NODE"},
               {"GROUP"},
               {"REGION"},
               {"BYTES"},
               {"STATE"},
               {"EXPORTER"},
               {"DEVICE"},
               {"IMPORTER"},
               {"DEVICE"},
               {"MAPPING"},
               {"AGE", false, true},
               {"GENERATION", true},
               {"EXPORTER-PID", true},
               {"IMPORTER-PID", true},
               {"WHITELISTED", true}},
              {}};
  for (const Json& item : items) {
    const Json& exporter = Field(item, "exporter");
    const auto add = [&](const Json& importer) {
      table.rows.push_back(
          {Text(item, "node"), Text(item, "group"), Text(item, "region"), Bytes(item, "bytes"),
           Text(item, "state"), PodName(exporter), Device(item), PodName(importer),
           Device(importer), Text(importer, "state"),
           importer.is_object() ? Age(importer) : Age(item), Integer(item, "generation"),
           Pids(exporter), Pids(importer), Integer(item, "whitelistedProcesses")});
    };
    const Json& importers = Field(item, "importers");
    if (importers.empty()) add(Json());
    for (const Json& importer : importers) add(importer);
    const auto more = Number(item, "importerCount").value_or(0) - std::ssize(importers);
    if (more > 0) add({{"state", "+" + std::to_string(more) + "More"}});
  }
  return table;
}

// audit

void CollectAudit(const Json& document, Json* items) {
  CollectItems(document, items);
  const Json& records = Field(document, "driverRecords");
  if (Text(records, "state") == "Read") return;
  items->push_back({{"node", Text(document, "node")},
                    {"severity", "Unknown"},
                    {"type", "NoDriverRecords"},
                    {"message", Text(records, "problem")}});
}

Table AuditTable(const Json& items) {
  Table table{
      {{"NODE"}, {"SEVERITY"}, {"TYPE"}, {"EXPORTER"}, {"HOST-PID"}, {"REGIONS"}, {"MESSAGE"}}, {}};
  for (const Json& item : items) {
    std::string regions;
    for (const Json& region : Field(item, "regions")) {
      if (region.is_string()) Append(region.get<std::string>(), &regions);
    }
    table.rows.push_back({Text(item, "node"), Text(item, "severity"), Text(item, "type"),
                          Text(item, "exporterPod"), Integer(item, "exporterHostPid"), regions,
                          Text(item, "message")});
  }
  return table;
}

// top: devices with what is shared of them.

void CollectTop(const Json& document, Json* items) {
  const std::string node = Text(document, "node");
  if (Text(document, "kind") == "DeviceList") {
    for (const Json& device : Field(document, "items")) {
      Json item = {{"node", node},
                   {"physicalId", Field(device, "physicalId")},
                   {"memoryBytes", Field(device, "memoryBytes")},
                   {"usage", Field(device, "usage")},
                   {"sharedBytes", 0},
                   {"regions", 0},
                   {"mappings", 0}};
      items->push_back(std::move(item));
    }
    return;
  }
  const auto add = [&](const Json& region, const char* what, int64_t by) {
    const Json& id = Field(region, "device", "physicalId");
    for (Json& item : *items) {
      if (Text(item, "node") != node || Field(item, "physicalId") != id) continue;
      item[what] = Number(item, what).value_or(0) + by;
      return;
    }
  };
  for (const Json& region : Field(document, "items")) {
    add(region, "sharedBytes", Number(region, "bytes").value_or(0));
    add(region, "regions", 1);
    add(region, "mappings", Number(region, "importerCount").value_or(0));
  }
}

Table TopTable(const Json& items) {
  Table table{{{"NODE"},
               {"DEVICE"},
               {"AICORE"},
               {"MEMORY"},
               {"MEMORY%"},
               {"TEMP"},
               {"SHARED"},
               {"REGIONS"},
               {"MAPPINGS"},
               {"BANDWIDTH", true},
               {"AICPU", true},
               {"VECTOR", true}},
              {}};
  for (const Json& item : items) {
    const Json& usage = Field(item, "usage");
    const auto used = Number(usage, "memoryUsedBytes");
    const auto whole = Number(item, "memoryBytes");
    const std::string celsius = Integer(usage, "temperatureCelsius");
    table.rows.push_back(
        {Text(item, "node"), Integer(item, "physicalId"), Percent(usage, "aiCorePercent"),
         used ? Bytes(usage, "memoryUsedBytes") : "<unknown>",
         used && whole && *whole > 0 ? std::to_string(*used * 100 / *whole) + "%" : "<unknown>",
         celsius.empty() ? "<unknown>" : celsius + "C", Bytes(item, "sharedBytes"),
         Integer(item, "regions"), Integer(item, "mappings"),
         Percent(usage, "memoryBandwidthPercent"), Percent(usage, "aiCpuPercent"),
         Percent(usage, "vectorCorePercent")});
  }
  return table;
}

// events

// Of a pod that is not known, the last process.
std::string EventSubject(const Json& event) {
  const std::string pod = PodName(event);
  return pod.empty() ? "<unknown>(pid " + Integer(event, "pid") + ")" : pod;
}

Table EventsTable(const Json& items) {
  Table table{{{"LAST SEEN", false, true},
               {"NODE"},
               {"TYPE"},
               {"REASON"},
               {"POD"},
               {"COUNT"},
               {"MESSAGE"},
               {"FIRST SEEN", true}},
              {}};
  for (const Json& item : items) {
    table.rows.push_back({Age(item), Text(item, "node"), Text(item, "type"), Text(item, "reason"),
                          EventSubject(item), Integer(item, "count"), Text(item, "message"),
                          Text(item, "firstSeen")});
  }
  return table;
}

// version

void CollectVersion(const Json& document, Json* items) { items->push_back(document); }

Table VersionTable(const Json& items) {
  Table table{{{"NODE"}, {"BROKER"}, {"DEVICE-PLUGIN"}, {"DRIVER"}, {"VIEW"}, {"UP", false, true}},
              {}};
  for (const Json& item : items) {
    table.rows.push_back({Text(item, "node"), Text(item, "brokerVersion"),
                          Text(item, "pluginVersion"), Text(item, "driverVersion"),
                          Text(Field(item, "view"), "state"), Age(item, "uptimeSeconds")});
  }
  return table;
}

}  // namespace

const View* FindView(const std::string& command) {
  static const auto* const kViews = new std::map<std::string, View>{
      {"devices", {{"devices"}, "DeviceList", CollectDevices, nullptr, DevicesTable}},
      {"pods", {{"pods"}, "PodList", CollectItems, IsOfNamespace, PodsTable}},
      {"shares", {{"shares"}, "ShareList", CollectShares, ShareConcerns, SharesTable}},
      {"audit", {{"audit"}, "FindingList", CollectAudit, nullptr, AuditTable}},
      {"top", {{"devices", "shares"}, "DeviceUsageList", CollectTop, nullptr, TopTable}},
      {"events", {{"events"}, "EventList", CollectItems, IsOfNamespace, EventsTable}},
      {"version", {{"version"}, "VersionList", CollectVersion, nullptr, VersionTable}}};
  const auto found = kViews->find(command);
  return found == kViews->end() ? nullptr : &found->second;
}

}  // namespace npu_ipc::kubectl
