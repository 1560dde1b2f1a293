#include "hal/dcmi/numa.h"

#include <charconv>
#include <filesystem>

#include "hal/base/process.h"

namespace npu_ipc::hal {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

std::optional<int32_t> ParseNode(std::string_view text) {
  int32_t node = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), node);
  if (error != std::errc() || end != text.data() + text.size() || node < 0) return std::nullopt;
  return node;
}

}  // namespace

PciNumaNode NumaNodeOfPciDevice(const std::string& sysfs, const std::string& pci_address) {
  PciNumaNode found;
  if (pci_address.empty()) return found;
  Result<std::string> text = ReadFile(sysfs + "/bus/pci/devices/" + pci_address + "/numa_node");
  if (!text.ok()) return found;
  found.known_device = true;
  found.node = ParseNode(Trim(*text));
  return found;
}

std::optional<int32_t> NumaNodeOfCpuList(const std::string& sysfs, std::string_view cpu_list) {
  cpu_list = Trim(cpu_list);
  if (cpu_list.empty()) return std::nullopt;
  std::error_code error;
  std::filesystem::directory_iterator nodes(sysfs + "/devices/system/node", error);
  for (const std::filesystem::directory_iterator end; !error && nodes != end;
       nodes.increment(error)) {
    const std::string name = nodes->path().filename().string();
    if (name.rfind("node", 0) != 0) continue;
    const std::optional<int32_t> node = ParseNode(std::string_view(name).substr(4));
    if (!node) continue;
    Result<std::string> cpus = ReadFile(nodes->path().string() + "/cpulist");
    if (cpus.ok() && Trim(*cpus) == cpu_list) return node;
  }
  return std::nullopt;
}

}  // namespace npu_ipc::hal
