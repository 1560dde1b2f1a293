#include "plugin/injection/cdi_spec.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "hal/base/atomic_file.h"
#include "hal/base/posix_error.h"
#include "hal/base/process.h"

namespace npu_ipc::injection {
namespace {

using nlohmann::json;

// The first version with `hostPath` in device nodes. A runtime refuses a spec that is newer than
// itself, so nothing later is claimed than what is used.
constexpr char kCdiVersion[] = "0.5.0";

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// CDI: letters, digits and "_-.:", with a letter or digit at each end.
bool IsDeviceName(std::string_view name) {
  constexpr std::string_view kInner = "_-.:";
  return !name.empty() && IsAlphanumeric(name.front()) && IsAlphanumeric(name.back()) &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           return IsAlphanumeric(c) || kInner.find(c) != std::string_view::npos;
         });
}

json ToEdits(const ContainerChanges& changes) {
  json edits = json::object();
  for (const auto& [name, value] : changes.environment) edits["env"].push_back(name + "=" + value);
  for (const DeviceNode& node : changes.device_nodes) {
    edits["deviceNodes"].push_back({{"path", node.container_path},
                                    {"hostPath", node.host_path},
                                    {"permissions", node.permissions}});
  }
  for (const Mount& mount : changes.mounts) {
    json options = {"rbind", "rprivate", "nosuid", "nodev"};
    options.push_back(mount.read_only ? "ro" : "rw");
    edits["mounts"].push_back({{"hostPath", mount.host_path},
                               {"containerPath", mount.container_path},
                               {"options", std::move(options)}});
  }
  return edits;
}

// The devices of a spec, by name. None where there is no spec, or none that can be read: there is
// nothing in it to keep.
std::map<std::string, json> DevicesOf(const std::string& path) {
  std::map<std::string, json> devices;
  const Result<std::string> text = ReadFile(path);
  const json spec = text.ok() ? json::parse(*text, nullptr, false) : json();
  if (!spec.is_object() || !spec.contains("devices") || !spec["devices"].is_array()) return devices;
  for (const json& device : spec["devices"]) {
    if (!device.is_object() || !device.contains("name") || !device["name"].is_string()) continue;
    devices.emplace(device["name"].get<std::string>(), device);
  }
  return devices;
}

std::string SpecPath(const std::string& directory) { return directory + "/" + kCdiFileName; }

}  // namespace

std::string QualifiedCdiName(std::string_view device_name) {
  return std::string(kCdiKind) + "=" + std::string(device_name);
}

Status WriteCdiSpec(const std::string& directory, const ContainerChanges& common,
                    const std::vector<NpuDevice>& devices, const MayBeNamed& may_be_named) {
  const std::string path = SpecPath(directory);
  std::map<std::string, json> entries = DevicesOf(path);
  std::erase_if(entries,
                [&](const auto& entry) { return !may_be_named(QualifiedCdiName(entry.first)); });
  for (const NpuDevice& device : devices) {
    if (!IsDeviceName(device.name)) {
      return {
          StatusCode::kInvalidArgument,
          "'" + device.name + "' cannot be the name of a CDI device: letters, digits and _-.: can"};
    }
    entries[device.name] = {
        {"name", device.name},
        {"containerEdits", ToEdits(DeviceChanges(DeviceMode::kMounts, {device}))}};
  }
  json spec = {{"cdiVersion", kCdiVersion}, {"kind", kCdiKind}, {"devices", json::array()}};
  for (auto& [name, entry] : entries) spec["devices"].push_back(std::move(entry));
  if (json edits = ToEdits(common); !edits.empty()) spec["containerEdits"] = std::move(edits);

  // Names and paths of files need not be UTF-8, JSON does.
  const std::string text = spec.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  if (const Result<std::string> had = ReadFile(path); had.ok() && *had == text) return Status::Ok();
  return ReplaceFile(path, text, 0644).WithContext("the CDI spec");
}

Result<bool> RemoveCdiSpec(const std::string& directory, const MayBeNamed& may_be_named) {
  const std::string path = SpecPath(directory);
  if (::access(path.c_str(), F_OK) != 0) return true;
  if (may_be_named(kCdiKind)) return false;
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return PosixError(errno, "remove the CDI spec " + path);
  }
  return true;
}

}  // namespace npu_ipc::injection
