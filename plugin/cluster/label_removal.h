// `npu-ipc-broker remove-node-labels`: what the chart runs once when npu-ipc is uninstalled. A
// broker cannot do it as it ends: it does not know whether the next one is about to start.
#pragma once

#include <stddef.h>

#include <string>

#include "hal/base/result.h"
#include "plugin/cluster/api_client.h"

namespace npu_ipc::cluster {

struct LabelRemoval {
  size_t nodes = 0;    // that the cluster has
  size_t cleaned = 0;  // from which labels were taken
  size_t failed = 0;
  std::string problem;  // of the first that failed
};

// Takes the labels off all nodes that a NodeLabeler has set there as `field_manager`. Those that
// others set stay, also where they begin with our prefix; a node that has gone meanwhile is none
// that failed. Needs the verbs list and patch on nodes. Fails where the nodes cannot be listed.
Result<LabelRemoval> RemoveNodeLabels(ApiClient& client, const std::string& field_manager);

// argv[0] is "remove-node-labels". Exit code 0; 1 where labels are left, with the reason on stderr;
// 2 where the command line is wrong.
int RunRemoveNodeLabels(int argc, const char* const* argv);

}  // namespace npu_ipc::cluster
