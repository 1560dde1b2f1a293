#include "hal/sim/driver/node_shape.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "hal/base/process.h"
#include "hal/sim/driver/json_object.h"
#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {
namespace {

using nlohmann::json;

constexpr size_t kNameLimit = 31;  // protocol.h: char[32] with its NUL
constexpr size_t kDieIdDigits = 40;

struct LinkName {
  const char* name;
  Link link;
};
// As `npu-smi info -t topo` prints them.
constexpr LinkName kLinkNames[] = {
    {"SELF", Link::kSelf}, {"SYS", Link::kSys}, {"PHB", Link::kPhb}, {"HCCS", Link::kHccs},
    {"PXB", Link::kPxb},   {"PIX", Link::kPix}, {"SIO", Link::kSio}, {"HCCS_SW", Link::kHccsSwitch},
    {"UB", Link::kUb},
};

ChipFamily ReadFamily(JsonObject& node) {
  const std::string text = node.Text("chip_family", kNameLimit);
  if (text == "910C") return ChipFamily::k910C;
  if (text != "910B") node.Fail("chip_family", "\"910B\" or \"910C\"");
  return ChipFamily::k910B;
}

ChipShape ReadChip(JsonObject chip) {
  ChipShape shape;
  shape.type = chip.Text("type", kNameLimit);
  shape.name = chip.Text("name", kNameLimit);
  shape.version = chip.Text("version", kNameLimit);
  shape.npu_name = chip.Text("npu_name", kNameLimit);
  shape.ai_cores = static_cast<uint32_t>(chip.Number("ai_cores", 1, 1024));
  shape.vector_cores = static_cast<uint32_t>(chip.Number("vector_cores", 0, 1024));
  shape.memory_bytes =
      static_cast<uint64_t>(chip.Number("memory_bytes", 1 << 20, int64_t{1} << 48));
  shape.memory_frequency_mhz =
      static_cast<uint32_t>(chip.Number("memory_frequency_mhz", 0, 100000));
  shape.temperature_celsius = static_cast<int32_t>(chip.Number("temperature_celsius", -40, 200));
  shape.pci_vendor_id = static_cast<uint32_t>(chip.Hexadecimal("pci_vendor_id", 0xffff));
  shape.pci_device_id = static_cast<uint32_t>(chip.Hexadecimal("pci_device_id", 0xffff));
  shape.board_id = static_cast<uint32_t>(chip.Hexadecimal("board_id", UINT32_MAX));
  shape.mainboard_id = static_cast<uint32_t>(chip.Hexadecimal("mainboard_id", UINT32_MAX));
  chip.RejectUnknownKeys();
  return shape;
}

SuperPodShape ReadSuperPod(JsonObject& node) {
  SuperPodShape shape;
  node.Ignore("super_pod");
  if (!node.Has("super_pod")) return shape;
  JsonObject super_pod = node.Object("super_pod");
  shape.id = static_cast<uint32_t>(super_pod.Number("id", 0, UINT32_MAX));
  shape.size = static_cast<uint32_t>(super_pod.Number("size", 1, UINT32_MAX));
  shape.server_index = static_cast<uint32_t>(super_pod.Number("server_index", 0, 1023));
  super_pod.RejectUnknownKeys();
  return shape;
}

void ReadPciAddress(JsonObject& device, DeviceShape* shape) {
  const std::string text = device.Text("pci_address", kNameLimit);
  int end = 0;
  if (::sscanf(text.c_str(), "%4x:%2x:%2x.%1x%n", &shape->pci_domain, &shape->pci_bus,
               &shape->pci_device, &shape->pci_function, &end) != 4 ||
      static_cast<size_t>(end) != text.size()) {
    device.Fail("pci_address", "text like \"0000:c1:00.0\"");
  }
}

void ReadDieId(JsonObject& device, DeviceShape* shape) {
  const std::string text = device.Text("die_id", kDieIdDigits);
  bool valid = text.size() == kDieIdDigits;
  for (size_t word = 0; valid && word < 5; ++word) {
    const char* const begin = text.data() + word * 8;
    const auto parsed = std::from_chars(begin, begin + 8, shape->die_id[word], 16);
    valid = parsed.ec == std::errc() && parsed.ptr == begin + 8;
  }
  if (!valid) device.Fail("die_id", "40 hexadecimal digits");
}

DeviceShape ReadDevice(JsonObject device, size_t index, bool in_super_pod) {
  DeviceShape shape;
  shape.physical_id = static_cast<uint32_t>(device.Number("physical_id", 0, kMaxDevices - 1));
  if (shape.physical_id != index) {
    device.Fail("physical_id",
                std::to_string(index) + " (devices are listed by physical id, from 0)");
  }
  shape.card_id = static_cast<uint32_t>(device.Number("card", 0, kMaxDevices - 1));
  shape.device_id_in_card = static_cast<uint32_t>(device.Number("device_in_card", 0, 15));
  ReadPciAddress(device, &shape);
  shape.numa_node = static_cast<int32_t>(device.Number("numa_node", -1, 1023));
  shape.cpu_affinity = device.Text("cpu_affinity", 63);
  ReadDieId(device, &shape);
  if (in_super_pod) {
    shape.super_pod_device_id =
        static_cast<uint32_t>(device.Hexadecimal("super_pod_device_id", UINT32_MAX));
  }
  device.RejectUnknownKeys();
  return shape;
}

std::vector<DeviceShape> ReadDevices(JsonObject& node, const std::string& file, bool in_super_pod,
                                     Status* status) {
  const json& list = node.Array("devices");
  if (list.empty() || list.size() > kMaxDevices) {
    node.Fail("devices", "a list of 1 to " + std::to_string(kMaxDevices) + " devices");
    return {};
  }
  std::vector<DeviceShape> devices;
  for (size_t i = 0; i < list.size() && status->ok(); ++i) {
    JsonObject device(list[i], file + ": devices[" + std::to_string(i) + "]", status);
    devices.push_back(ReadDevice(std::move(device), i, in_super_pod));
    for (size_t other = 0; other < i; ++other) {
      if (devices[other].card_id == devices[i].card_id &&
          devices[other].device_id_in_card == devices[i].device_id_in_card && status->ok()) {
        *status =
            Status(StatusCode::kInvalidArgument,
                   file + ": devices[" + std::to_string(i) + "] is in the same place (card, " +
                       "device_in_card) as devices[" + std::to_string(other) + "]");
      }
    }
  }
  return devices;
}

// One row of the matrix: link names with spaces between, one a device.
bool ReadLinkRow(const json& value, size_t devices, std::vector<Link>* row) {
  if (!value.is_string()) return false;
  const std::string& text = value.get_ref<const std::string&>();
  for (size_t at = text.find_first_not_of(' '); at != std::string::npos;
       at = text.find_first_not_of(' ', at)) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const auto* const found = std::find_if(
        std::begin(kLinkNames), std::end(kLinkNames),
        [&](const LinkName& candidate) { return text.compare(at, end - at, candidate.name) == 0; });
    if (found == std::end(kLinkNames)) return false;
    row->push_back(found->link);
    at = end;
  }
  return row->size() == devices;
}

std::vector<std::vector<Link>> ReadLinks(JsonObject& node, size_t devices) {
  const std::string expected =
      "one row a device, each of one link a device (SELF SYS PHB HCCS PXB PIX SIO HCCS_SW UB), the "
      "same both ways and SELF with itself";
  const json& rows = node.Array("links");
  std::vector<std::vector<Link>> links;
  for (const json& value : rows) {
    std::vector<Link> row;
    if (!ReadLinkRow(value, devices, &row)) {
      node.Fail("links", expected);
      return {};
    }
    links.push_back(std::move(row));
  }
  bool consistent = links.size() == devices;
  for (size_t a = 0; consistent && a < devices; ++a) {
    for (size_t b = 0; b < devices; ++b) {
      if (links[a][b] != links[b][a] || (links[a][b] == Link::kSelf) != (a == b))
        consistent = false;
    }
  }
  if (!consistent) node.Fail("links", expected);
  return links;
}

std::string ShapesIn(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list.empty() ? "none" : list;
}

}  // namespace

bool CarriesPeerAccess(Link link) {
  switch (link) {
    case Link::kHccs:
    case Link::kPix:
    case Link::kSio:
    case Link::kHccsSwitch:
    case Link::kUb:
      return true;
    case Link::kSelf:
    case Link::kSys:
    case Link::kPhb:
    case Link::kPxb:
      return false;
  }
  return false;
}

Result<NodeShape> ParseNodeShape(std::string_view text, const std::string& file) {
  json document;
  try {
    document = json::parse(text);
  } catch (const json::exception& error) {
    return Status(StatusCode::kInvalidArgument, file + ": not JSON: " + error.what());
  }
  Status status;
  JsonObject node(document, file + ": node", &status);
  NodeShape shape;
  node.Ignore("assumed");
  shape.description = node.Text("description", 1000);
  shape.chip_family = ReadFamily(node);
  shape.soc_name = node.Text("soc_name", kNameLimit);
  shape.driver_version = node.Text("driver_version", kNameLimit);
  shape.chip = ReadChip(node.Object("chip"));
  shape.super_pod = ReadSuperPod(node);
  shape.devices = ReadDevices(node, file, shape.super_pod.size != 0, &status);
  shape.links = ReadLinks(node, shape.devices.size());
  node.RejectUnknownKeys();
  if (!status.ok()) return status;
  return shape;
}

Result<NodeShape> LoadNodeShape(const std::string& name, const std::string& nodes_directory) {
  const bool is_path = name.find('/') != std::string::npos ||
                       (name.size() > 5 && name.compare(name.size() - 5, 5, ".json") == 0);
  const std::string path = is_path ? name : nodes_directory + "/" + name + ".json";
  const Result<std::string> text = ReadFile(path);
  if (!text.ok()) {
    Status status = text.status().WithContext("node '" + name + "'");
    if (is_path) return status;
    return Status(status.code(), status.message() + " (" + nodes_directory +
                                     " has: " + ShapesIn(nodes_directory) + ")");
  }
  return ParseNodeShape(*text, path);
}

}  // namespace npu_ipc::sim
