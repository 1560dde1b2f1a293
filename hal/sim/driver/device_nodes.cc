#include "hal/sim/driver/device_nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <set>

#include "hal/base/posix_error.h"
#include "hal/base/process.h"

namespace npu_ipc::sim {
namespace {

// The "local or experimental use" ranges of the kernel's devices.txt.
constexpr unsigned kExperimentalMajors[] = {120, 121, 122, 123, 124, 125, 126, 127, 60, 61, 62, 63};
constexpr unsigned kFirstControlMinor = 200;
constexpr const char* kControlNodes[] = {"davinci_manager", "devmm_svm", "hisi_hdc"};

// The majors of character devices in /proc/devices.
Result<std::set<unsigned>> AssignedMajors() {
  const Result<std::string> text = ReadFile("/proc/devices");
  if (!text.ok()) return text.status();
  std::set<unsigned> majors;
  size_t at = 0;
  while (at < text->size()) {
    const size_t end = std::min(text->find('\n', at), text->size());
    const std::string line = text->substr(at, end - at);
    if (line.compare(0, 5, "Block") == 0) break;
    char* rest = nullptr;
    const unsigned long number = ::strtoul(line.c_str(), &rest, 10);
    if (rest != line.c_str()) majors.insert(static_cast<unsigned>(number));
    at = end + 1;
  }
  return majors;
}

Result<unsigned> ChooseMajor(unsigned wanted) {
  const Result<std::set<unsigned>> assigned = AssignedMajors();
  if (!assigned.ok()) return assigned.status();
  if (wanted != 0) {
    if (assigned->count(wanted) == 0) return wanted;
    return Status(StatusCode::kAlreadyExists, "device major " + std::to_string(wanted) +
                                                  " belongs to a driver (/proc/devices); choose "
                                                  "another with --device-major");
  }
  for (const unsigned candidate : kExperimentalMajors) {
    if (assigned->count(candidate) == 0) return candidate;
  }
  return Status(StatusCode::kResourceExhausted,
                "every experimental device major is taken (/proc/devices); name one with "
                "--device-major");
}

}  // namespace

Result<std::unique_ptr<DeviceNodes>> DeviceNodes::Create(uint32_t device_count,
                                                         const Options& options) {
  const Result<unsigned> major = ChooseMajor(options.major);
  if (!major.ok()) return major.status();
  std::unique_ptr<DeviceNodes> nodes(new DeviceNodes(*major));
  for (uint32_t i = 0; i < device_count; ++i) {
    const std::string path = options.directory + "/davinci" + std::to_string(i);
    if (Status made = nodes->Make(path, options.mode, i); !made.ok()) return made;
  }
  unsigned minor = kFirstControlMinor;
  for (const char* name : kControlNodes) {
    const std::string path = options.directory + "/" + name;
    if (Status made = nodes->Make(path, options.mode, minor++); !made.ok()) return made;
  }
  return nodes;
}

DeviceNodes::~DeviceNodes() {
  for (const std::string& path : made_) ::unlink(path.c_str());
}

Status DeviceNodes::Make(const std::string& path, mode_t mode, unsigned minor) {
  const dev_t device = ::makedev(major_, minor);
  if (::mknod(path.c_str(), S_IFCHR | mode, device) == 0) {
    made_.push_back(path);
  } else if (errno == EPERM) {
    return {
        StatusCode::kPermissionDenied,
        "mknod " + path + ": not permitted (it takes CAP_MKNOD, and a file system without nodev)"};
  } else if (errno != EEXIST) {
    return PosixError(errno, "mknod " + path);
  } else {
    struct stat existing = {};
    if (::lstat(path.c_str(), &existing) != 0) return PosixError(errno, "lstat " + path);
    if (!S_ISCHR(existing.st_mode) || existing.st_rdev != device) {
      return {StatusCode::kAlreadyExists,
              path +
                  " exists and is not the simulator's (a real driver may be installed); it is "
                  "left as it is: choose another directory with --device-directory"};
    }
  }
  // mknod's mode was cut by the umask.
  return ::chmod(path.c_str(), mode) == 0 ? Status::Ok() : PosixError(errno, "chmod " + path);
}

}  // namespace npu_ipc::sim
