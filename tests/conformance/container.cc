#include "tests/conformance/container.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace npu_ipc::conformance {
namespace {

// What container runtimes leave to root in an ordinary container.
constexpr int kContainerCapabilities[] = {
    CAP_CHOWN,   CAP_DAC_OVERRIDE,     CAP_FSETID,     CAP_FOWNER,     CAP_MKNOD,
    CAP_NET_RAW, CAP_SETGID,           CAP_SETUID,     CAP_SETFCAP,    CAP_SETPCAP,
    CAP_KILL,    CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_AUDIT_WRITE};

void Require(int result, const std::string& what) {
  if (result == 0) return;
  ::fprintf(stderr, "container: %s: %s\n", what.c_str(), ::strerror(errno));
  ::_exit(125);
}

struct DeviceNode {
  std::string path;
  struct stat status;
};

// All of them are looked up before the new /dev hides them.
std::vector<DeviceNode> FindDeviceNodes(const std::vector<int>& devices) {
  std::vector<std::string> names = {"null", "zero", "full", "random", "urandom", "tty"};
  for (const int device : devices) names.push_back("davinci" + std::to_string(device));
  // Which of these there are depends on the driver: those that exist are given.
  for (const char* control : {"davinci_manager", "devmm_svm", "hisi_hdc", "devmm_svm_agent"}) {
    if (::access((std::string("/dev/") + control).c_str(), F_OK) == 0) names.push_back(control);
  }
  std::vector<DeviceNode> nodes;
  for (const std::string& name : names) {
    DeviceNode node{"/dev/" + name, {}};
    Require(::stat(node.path.c_str(), &node.status), "stat " + node.path);
    nodes.push_back(node);
  }
  return nodes;
}

}  // namespace

void EnterNewContainer(const Surroundings& surroundings) {
  const std::vector<DeviceNode> nodes = FindDeviceNodes(surroundings.devices);
  Require(::unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET), "unshare");
  Require(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make / private");
  Require(::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr), "/proc");
  Require(::mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=0755"), "mount /dev");
  for (const DeviceNode& node : nodes) {
    Require(::mknod(node.path.c_str(), node.status.st_mode, node.status.st_rdev),
            "make " + node.path);
    // mknod's mode is subject to the umask.
    Require(::chmod(node.path.c_str(), node.status.st_mode & 07777), "chmod " + node.path);
  }
  Require(::mkdir("/dev/shm", 0755), "mkdir /dev/shm");
  Require(::mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"), "/dev/shm");
  if (surroundings.kind == Surroundings::Kind::kContainer) DropToContainerCapabilities();
}

void DropToContainerCapabilities() {
  const auto* end = std::end(kContainerCapabilities);
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (std::find(std::begin(kContainerCapabilities), end, capability) != end) continue;
    Require(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0),
            "drop capability " + std::to_string(capability));
  }
}

}  // namespace npu_ipc::conformance
