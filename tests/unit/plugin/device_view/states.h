// Node states for the tests of this folder.
#pragma once

#include <string>

#include "plugin/device_view/node_state.h"
#include "tests/fakes/fake_device_manager.h"

namespace npu_ipc::device_view {

// A state with something in every field, so that one that is lost on the way is noticed.
inline NodeState FullState(uint64_t sequence) {
  const WallTime time(std::chrono::milliseconds(1'700'000'000'123));
  NodeState state;
  state.sequence = sequence;
  state.facts = {"24.1.rc3", "card 7: does not answer", time, "no kubelet", "0.1.0"};
  for (const hal::Device& hardware : hal::FakeDeviceManager::Ascend910C(2)) {
    const std::string id = "npu-" + std::to_string(hardware.physical_id);
    DeviceState& device = state.devices[id];
    device.id = id;
    device.resource = "huawei.com/Ascend910C";
    device.hardware = hardware;
    device.hardware.logical_id = hardware.physical_id + 10;
    device.health = {false, hal::HealthLevel::kCritical, {0x80CB8002, 7}, "it burns", time};
    device.health_history = {{true, hal::HealthLevel::kOk, {}, "", WallTime()}, device.health};
    device.health_changes = 1;
    device.device_share = hardware.physical_id == 1;
    state.usage[id] = {1ull << 35, 20, -5, 61, 97, 3, 44};
  }
  state.links = {{0, 1, hal::LinkType::kSio}, {0, 2, hal::LinkType::kHccsSwitch}};
  state.allocations[4] = {
      4, "huawei.com/Ascend910C", {"npu-0", "npu-1"}, time, "default", "pod", "main"};
  ResourceStatistics& statistics = state.resources["huawei.com/Ascend910C"];
  statistics.registrations = 3;
  statistics.allocate_failures = 1;
  statistics.allocate.Observe(0.0002);
  statistics.allocate.Observe(100);
  return state;
}

}  // namespace npu_ipc::device_view
