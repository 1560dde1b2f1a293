// The CDI spec that tells a container runtime what our device names stand for.
//
// A pod keeps the names that Allocate gave it for as long as it lives, and the runtime looks them
// up anew at each start of a container, also while this plugin is being replaced. So the spec stays
// when the plugin stops or another mode is chosen, and a device stays in it when the driver no
// longer shows it, until no pod can name them any more.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hal/base/result.h"
#include "plugin/injection/container_changes.h"
#include "plugin/injection/device_injection.h"
#include "plugin/injection/may_be_named.h"

namespace npu_ipc::injection {

inline constexpr char kCdiKind[] = "npu-ipc.io/npu";
// As the CDI project names a spec's file after its kind.
inline constexpr char kCdiFileName[] = "npu-ipc.io-npu.json";

// "npu-ipc.io/npu=npu-3"
std::string QualifiedCdiName(std::string_view device_name);

// Makes <directory>/npu-ipc.io-npu.json say: these devices, with what is `common` to every
// container that has one, and those of the spec before that may still be named. Written under
// another name, synced and renamed, so that a runtime never reads half of it; left alone where it
// already says so. kInvalidArgument for a device name that CDI does not allow; otherwise what the
// file system says, and the spec before stays.
Status WriteCdiSpec(const std::string& directory, const ContainerChanges& common,
                    const std::vector<NpuDevice>& devices, const MayBeNamed& may_be_named);

// Removes the spec unless one of its devices may still be named. True: there is none (any more).
Result<bool> RemoveCdiSpec(const std::string& directory, const MayBeNamed& may_be_named);

}  // namespace npu_ipc::injection
