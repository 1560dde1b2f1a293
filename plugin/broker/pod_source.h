// Where the broker learns of its node's pods.
#pragma once

#include <memory>
#include <optional>

#include "hal/base/event_loop.h"
#include "plugin/broker/settings.h"
#include "plugin/cluster/cluster_config.h"
#include "plugin/pods/directory.h"

namespace npu_ipc::broker {

// pods.file where it is set, else the API server at `cluster`. kInvalidArgument where there is
// neither; else as FilePodDirectory::Open(). `loop` must outlive the directory.
Result<std::unique_ptr<pods::PodDirectory>> OpenPodDirectory(
    EventLoop& loop, const Settings& settings,
    const std::optional<cluster::ClusterConfig>& cluster);

// What can be said of it before the API server is looked for. kInvalidArgument.
Status CheckPodSource(const Settings& settings);

}  // namespace npu_ipc::broker
