// The simulator's placeholder device nodes: what a container is given to have a device.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "hal/base/result.h"

namespace npu_ipc::sim {

// davinci0 ... davinciN-1 (minor: the physical id), davinci_manager, devmm_svm and hisi_hdc in one
// directory, all character devices of one major that no driver has: opening one gives ENXIO.
// Removes those that it made when it is destroyed.
class DeviceNodes {
 public:
  struct Options {
    std::string directory = "/dev";
    mode_t mode = 0660;
    unsigned major = 0;  // 0: the first of the experimental ones that /proc/devices has not
  };

  // A node that is there already with the same numbers (a daemon that was killed left it, or a test
  // made it) is used, given the mode, and left. kAlreadyExists when something else has the name: a
  // real driver may be installed. kPermissionDenied without CAP_MKNOD.
  static Result<std::unique_ptr<DeviceNodes>> Create(uint32_t device_count, const Options& options);
  ~DeviceNodes();
  DeviceNodes(const DeviceNodes&) = delete;
  DeviceNodes& operator=(const DeviceNodes&) = delete;

  unsigned major() const { return major_; }

 private:
  explicit DeviceNodes(unsigned major) : major_(major) {}
  Status Make(const std::string& path, mode_t mode, unsigned minor);

  unsigned major_;
  std::vector<std::string> made_;
};

}  // namespace npu_ipc::sim
