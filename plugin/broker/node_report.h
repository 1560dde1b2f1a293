// What of the node's devices goes to the API server: labels, and an Event for each change.
#pragma once

#include <string>
#include <vector>

#include "plugin/cluster/event.h"
#include "plugin/cluster/node_labeler.h"
#include "plugin/device_view/node_state.h"

namespace npu_ipc::broker {

// The device plugin has just started and neither asked the driver nor failed to: a state to make
// no labels of.
bool NothingKnownYet(const device_view::NodeState& state);

// npu-ipc.io/npu.count, and where there are devices npu.product ("Ascend910B"), npu.chip ("910B3"),
// npu.memory (MiB of one device) and npu.topology (the links between them: "HCCS", "HCCS-PIX");
// npu-ipc.io/driver.version. Where devices differ, the values are joined by "-". What the driver
// does not say has no label; what a label cannot hold becomes "_". Pure.
cluster::Labels NodeLabels(const device_view::NodeState& state);

// What an operator is told of the node:
//  * DeviceHealthy and DeviceUnhealthy, where devices became so or their level of fault changed,
//    and DeviceGone: one Event for all of those that did so for one reason, in the order of their
//    ids;
//  * DriverProblem and DriverAnswers, where the device plugin cannot see all devices (again);
//    NoDevices, where that is because there are none.
// `before` is null for the first state: what is well then is not worth an Event. Pure.
std::vector<cluster::Event> NodeEvents(const std::string& node_name,
                                       const device_view::NodeState* before,
                                       const device_view::NodeState& now);

}  // namespace npu_ipc::broker
