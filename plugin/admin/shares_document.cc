#include <unordered_map>
#include <utility>

#include "plugin/admin/document.h"
#include "plugin/admin/documents.h"

namespace npu_ipc::admin {
namespace {

using broker::MappingState;
using broker::RegionState;
using broker::ShareSnapshot;
using Json = nlohmann::json;

const char* RegionStateName(RegionState state) {
  switch (state) {
    case RegionState::kShared:
      return "Shared";
    case RegionState::kAway:
      return "ExporterAway";
    case RegionState::kRenewing:
      return "Renewing";
    case RegionState::kWithdrawing:
      return "Withdrawing";
  }
  return "";
}

const char* MappingStateName(MappingState state) {
  switch (state) {
    case MappingState::kGranted:
      return "Granted";
    case MappingState::kImported:
      return "Imported";
    case MappingState::kUnconfirmed:
      return "Unconfirmed";
    case MappingState::kWithdrawing:
      return "Withdrawing";
    case MappingState::kRevoked:
      return "Revoked";
    case MappingState::kDead:
      return "Dead";
  }
  return "";
}

Json DescribeMapping(const ShareSnapshot::Mapping& mapping, const ShareSnapshot& shares,
                     const DeviceAllocations& devices, ProcessDescriber& processes) {
  Json importer = processes.Describe(mapping.importer);
  importer["device"] =
      devices.Claim(mapping.importer_device, shares.processes.at(mapping.importer).info);
  importer["state"] = MappingStateName(mapping.state);
  importer["ageSeconds"] = Seconds(mapping.age);
  return importer;
}

Json DescribeRegion(const ShareSnapshot::Region& region, const ShareSnapshot& shares,
                    const DeviceAllocations& devices, ProcessDescriber& processes) {
  return {{"group", region.name.group.Text()},
          {"region", region.name.name},
          {"generation", region.generation},
          {"state", RegionStateName(region.state)},
          {"bytes", region.view_bytes},
          {"viewOffset", region.view_offset},
          {"allocationBytes", region.allocation_bytes},
          {"device", devices.Claim(region.device, shares.processes.at(region.exporter).info)},
          {"ageSeconds", Seconds(region.age)},
          {"exporter", processes.Describe(region.exporter)},
          {"importers", Json::array()},
          {"importerCount", region.mappings},
          {"whitelistedProcesses", region.whitelisted}};
}

}  // namespace

Json SharesDocument(const NodeSnapshot& node) {
  const DeviceAllocations devices(node);
  ProcessDescriber processes(node);
  Json document = NewDocument("ShareList", node);
  Json& items = document["items"] = Json::array();
  std::unordered_map<broker::RegionId, size_t> index;
  for (const auto& [id, region] : node.shares.regions) {
    index.emplace(id, items.size());
    items.push_back(DescribeRegion(region, node.shares, devices, processes));
  }
  Json& loose = document["looseMappings"] = Json::array();
  for (const ShareSnapshot::Mapping& mapping : node.shares.mappings) {
    Json described = DescribeMapping(mapping, node.shares, devices, processes);
    const auto region = index.find(mapping.region);
    if (region != index.end()) {
      items[region->second]["importers"].push_back(std::move(described));
      continue;
    }
    described["region"] = mapping.region_name;
    described["exporterHostPid"] = mapping.exporter.pid;
    described["exporterDevice"] = {{"physicalId", mapping.exporter_device}};
    loose.push_back(std::move(described));
  }
  if (!node.shares.next.empty()) document["metadata"] = {{"continue", node.shares.next}};
  return document;
}

}  // namespace npu_ipc::admin
