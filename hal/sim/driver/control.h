// What npu-sim-control can have the driver do: one JSON object in, one out.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "hal/sim/driver/driver.h"

namespace npu_ipc::sim {

// Commands ("command" and its arguments; "device" is a physical id):
//   show                {}
//   set                 {device, health?: "ok".."critical"|"absent"|"auto", temperature?,
//                        utilization?: percent, memory_bandwidth?: percent, extra_memory?: bytes}
//   inject, report      {device, code: "0x...", severity?: "notice".."critical", node_type?, name?}
//   clear               {device, code?: "0x..."}: without a code, all of them
//   remove              {device}
//   restore             {device, logical_id?}
//   dcmi                {device?, hang?: bool, code?: -8012}: of one device, or of every call
// The answer is {"ok": true} with the state under "devices" and "dcmi" for show, or {"error":
// "..."}. Not thread safe.
class Control {
 public:
  // `driver` outlives this object. `on_change` runs after each command that changed something.
  Control(Driver& driver, std::function<void()> on_change);

  std::string Run(std::string_view request);

 private:
  Driver& driver_;
  const std::function<void()> on_change_;
};

}  // namespace npu_ipc::sim
