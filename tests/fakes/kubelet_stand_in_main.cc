// kubelet-stand-in: the kubelet's side of the device plugin API as a program, for the demo and for
// integration tests.
//
//   kubelet-stand-in --directory DIR
//
// serves DIR/kubelet.sock, logs each registration on stderr and answers every line of stdin with
// one line of JSON on stdout, until stdin ends:
//
//   wait RESOURCE COUNT [SECONDS]    until COUNT devices are healthy    {"devices":[...]}
//   devices RESOURCE                 {"devices":[{"id":"npu-0","healthy":true,"numaNodes":[0]}, ...]}
//   registrations                    {"calls":2,"registrations":[{"resource":...,"endpoint":...}, ...]}:
//                                    calls counts those that were refused or hang, too
//   hang on|off                      {}: registrations from now on wait until it is off
//   refuse [MESSAGE]                 {}: they fail with MESSAGE, or are accepted again
//   prefer RESOURCE COUNT ID [ID...] {"ids":[...]}
//   allocate RESOURCE ID [ID...]     {"devices":[...],"mounts":[...],"envs":{...},"annotations":{...},
//                                     "cdi_devices":[...]}
//
// What fails is answered {"error":"..."}; the program goes on.
#include <stdlib.h>

#include <charconv>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/fakes/fake_kubelet.h"

namespace npu_ipc {
namespace {

using nlohmann::json;

json Error(const std::string& message) { return {{"error", message}}; }

json DevicesJson(const FakeKubelet::DeviceList& devices) {
  json list = json::array();
  for (const FakeKubelet::Device& device : devices) {
    list.push_back(
        {{"id", device.id}, {"healthy", device.healthy}, {"numaNodes", device.numa_nodes}});
  }
  return {{"devices", std::move(list)}};
}

json ChangesJson(const injection::ContainerChanges& changes) {
  json devices = json::array();
  for (const auto& node : changes.device_nodes) {
    devices.push_back({{"container_path", node.container_path},
                       {"host_path", node.host_path},
                       {"permissions", node.permissions}});
  }
  json mounts = json::array();
  for (const auto& mount : changes.mounts) {
    mounts.push_back({{"container_path", mount.container_path},
                      {"host_path", mount.host_path},
                      {"read_only", mount.read_only}});
  }
  return {{"devices", std::move(devices)},
          {"mounts", std::move(mounts)},
          {"envs", changes.environment},
          {"annotations", changes.annotations},
          {"cdi_devices", changes.cdi_devices}};
}

bool ParseCount(const std::string& text, int32_t* count) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *count);
  return error == std::errc() && end == text.data() + text.size() && *count >= 0;
}

json Wait(const FakeKubelet& kubelet, const std::vector<std::string>& words) {
  int32_t count = 0;
  int32_t seconds = 30;
  if (words.size() < 3 || words.size() > 4 || !ParseCount(words[2], &count) ||
      (words.size() == 4 && !ParseCount(words[3], &seconds))) {
    return Error("usage: wait RESOURCE COUNT [SECONDS]");
  }
  const Status waited = kubelet.WaitForHealthyDevices(words[1], static_cast<size_t>(count),
                                                      std::chrono::seconds(seconds));
  return waited.ok() ? DevicesJson(kubelet.Devices(words[1])) : Error(waited.message());
}

json Registrations(const FakeKubelet& kubelet) {
  json list = json::array();
  for (const auto& registration : kubelet.Registrations()) {
    list.push_back({{"resource", registration.resource_name}, {"endpoint", registration.endpoint}});
  }
  return {{"calls", kubelet.RegisterCalls()}, {"registrations", std::move(list)}};
}

json Prefer(FakeKubelet& kubelet, const std::vector<std::string>& words) {
  int32_t count = 0;
  if (words.size() < 4 || !ParseCount(words[2], &count)) {
    return Error("usage: prefer RESOURCE COUNT ID [ID...]");
  }
  const auto ids =
      kubelet.GetPreferredAllocation(words[1], {words.begin() + 3, words.end()}, {}, count);
  return ids.ok() ? json{{"ids", *ids}} : Error(ids.status().message());
}

json Allocate(FakeKubelet& kubelet, const std::vector<std::string>& words) {
  if (words.size() < 3) return Error("usage: allocate RESOURCE ID [ID...]");
  const auto changes = kubelet.Allocate(words[1], {words.begin() + 2, words.end()});
  return changes.ok() ? ChangesJson(*changes) : Error(changes.status().message());
}

json Answer(FakeKubelet& kubelet, const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  if (words.empty()) return Error("empty line");
  if (words[0] == "wait") return Wait(kubelet, words);
  if (words[0] == "devices" && words.size() == 2) return DevicesJson(kubelet.Devices(words[1]));
  if (words[0] == "registrations") return Registrations(kubelet);
  if (words[0] == "hang" && words.size() == 2 && (words[1] == "on" || words[1] == "off")) {
    kubelet.HangRegistrations(words[1] == "on");
    return json::object();
  }
  if (words[0] == "refuse") {
    kubelet.RefuseRegistrations(words.size() == 1 ? "" : line.substr(line.find(words[1])));
    return json::object();
  }
  if (words[0] == "prefer") return Prefer(kubelet, words);
  if (words[0] == "allocate") return Allocate(kubelet, words);
  return Error("unknown command '" + line +
               "'; there are wait, devices, registrations, hang, refuse, prefer and allocate");
}

int Run(int argc, char** argv) {
  if (argc != 3 || std::string(argv[1]) != "--directory") {
    std::cerr << "usage: kubelet-stand-in --directory DIR\n";
    return 2;
  }
  auto kubelet = FakeKubelet::Start(argv[2]);
  if (!kubelet.ok()) {
    std::cerr << "kubelet-stand-in: " << kubelet.status().message() << "\n";
    return 1;
  }
  (*kubelet)->OnRegistration([](const FakeKubelet::Registration& registration) {
    std::cerr << "registered: resource=" + registration.resource_name +
                     " endpoint=" + registration.endpoint + "\n";
  });
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << Answer(**kubelet, line).dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace npu_ipc

int main(int argc, char** argv) { return npu_ipc::Run(argc, argv); }
