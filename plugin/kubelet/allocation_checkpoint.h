// What pods were told at Allocate and still hold: the kubelet's own record of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hal/base/result.h"

namespace npu_ipc::kubelet {

// The kubelet keeps each answer to Allocate in `kubelet_internal_checkpoint` of its device plugin
// directory, for as long as the pod lives, and replays it when it restarts a container. The file is
// a private one of the kubelet's: it is only ever read here, to keep what may still be named, and
// whoever cannot read or understand it must take everything as named.
class AllocationCheckpoint {
 public:
  // kNotFound: there is none; kFailedPrecondition: it is not as expected.
  static Result<AllocationCheckpoint> Read(const std::string& device_plugin_directory);
  static Result<AllocationCheckpoint> Parse(std::string_view text);

  // Whether an answer, of whatever plugin, has `text` in it: a path, a device's name.
  bool Mentions(std::string_view text) const;

 private:
  explicit AllocationCheckpoint(std::vector<std::string> answers) : answers_(std::move(answers)) {}

  std::vector<std::string> answers_;  // ContainerAllocateResponse messages
};

}  // namespace npu_ipc::kubelet
