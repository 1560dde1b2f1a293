// What the simulated vendor libraries and the simulated driver say to each other: the simulator's
// ioctls.
//
// One SOCK_SEQPACKET connection a process, requests answered in order. The driver goes by what the
// kernel says of the process at the other end (pid, /dev, mount namespace, capabilities), as the
// real one goes by `current`. Answers carry a kernel errno; the vendor libraries translate it as
// the vendor's do. Private to hal/sim: both ends are always of one build, so there is no
// compatibility to keep, only a version to refuse by.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace npu_ipc::sim {

inline constexpr uint32_t kProtocolVersion = 2;
// Beside the vendor libraries' files (found through dladdr): that is how a container reaches it.
inline constexpr char kSocketFileName[] = "npu-sim-driver.sock";
// Beside it, root's alone: what npu-sim-control speaks to, one JSON object a message both ways.
inline constexpr char kControlSocketFileName[] = "npu-sim-control.sock";
inline constexpr size_t kMaxControlMessageBytes = 128 << 10;

inline constexpr uint32_t kMaxDevices = 64;
inline constexpr size_t kKeyBytes = 65;          // driver: DEVMM_MAX_NAME_SIZE
inline constexpr uint32_t kMaxPidsPerCall = 31;  // HAL: devmm_svm.c
inline constexpr uint32_t kMaxPeerProcesses = 32;
inline constexpr uint32_t kMaxFaultSubscribers = 64;  // DCMI's documentation of the subscription
inline constexpr uint32_t kValiditySlots = 65536;

enum class Operation : uint32_t {
  kHello = 1,   // -> HelloReply, and the validity page's descriptor
  kBareTgid,    // -> value32
  kOpenDevice,  // device. EBUSY: another container has it; ENODEV: not in the caller's /dev
  // device; opens and closes are counted a process. The last close takes back what the process has
  // on the device: its memory, the shares that it made there and those that it opened there
  kCloseDevice,
  // device, length, page_bytes -> values {handle, length in whole pages}, and the memory's
  // descriptor. ENOMEM; ENODEV: the device is not open; EINVAL: length 0 or no such page size
  kAllocate,
  kFree,         // handle. The memory lives until the last mapping of it is gone
  kMemoryInfo,   // device -> values {total, free bytes}
  kEnablePeer,   // device (in the caller's /dev), peer (need not be; both physical). ENOMEM: 32
                 // processes have this direction; EINVAL: the same, an id above 15, or no link that
                 // carries it
  kDisablePeer,  // device, peer. ESRCH: this process has not enabled it
  kPeerStatus,   // device, peer -> value32: 1 when both directions are requested (by any process)
  kShareCreate,  // handle, offset (on a page boundary), length, address -> key
  kShareSetPids,      // key, pids, count
  kShareNoWhitelist,  // key: any process may open it
  kShareOpen,     // key, device (open), address (not 0) -> ShareReply, and the memory's descriptor
  kShareClose,    // key: the caller's open of it. Done also after the creator has destroyed it
  kShareDestroy,  // key: the caller's own. Done also after its memory was freed
  kShareInfo,     // key -> ShareReply without a slot; needs no entry in the whitelist
  kDeviceRecord,  // device (physical) -> DeviceRecord
  kDeviceLink,    // device, peer -> value32: DCMI's topology number
  kDeviceProcesses,  // device -> ProcessList
  kSetDeviceShare,   // device, value32 0 or 1. EPERM: not the host or an admin container; EBUSY: in
                     // use
  // After the answer, a FaultMessage each time that a fault of a device that the process sees is
  // raised or cleared. The connection is for that alone. EBUSY: 64 processes subscribe
  kSubscribeFaults,
};

struct Request {
  uint32_t version;
  Operation operation;
  uint32_t device;  // physical id
  uint32_t peer;    // physical id
  uint64_t handle;
  uint64_t offset;
  uint64_t length;
  uint64_t address;     // where the caller sees it (shown in the audit files, nothing else)
  uint64_t page_bytes;  // 4 KiB, 2 MiB or 1 GiB
  uint32_t value32;
  uint32_t count;
  char key[72];
  int32_t pids[kMaxPidsPerCall + 1];
  uint32_t through_dcmi;  // 1: from libdcmi, whose calls can be made to hang or fail
  uint32_t reserved;
};
static_assert(sizeof(Request) == 56 + 8 + 72 + 128 + 8);

struct HelloReply {
  uint32_t device_count;          // devices that this process sees, by what is in its /dev
  uint32_t devices[kMaxDevices];  // their physical ids; index = container-logical id
  uint32_t is_host_or_admin;      // host mount namespace, or all capabilities and uid 0
  uint32_t chip_family;           // 0: 910B, 1: 910C
  char soc_name[32];              // "Ascend910B3", "Ascend910_9391"
  char driver_version[32];
  uint32_t validity_slots;
};

struct ShareReply {
  uint64_t length;
  uint64_t offset;  // within the descriptor
  uint64_t page_bytes;
  uint32_t device;  // the exporter's, physical
  // Index into the validity page (uint32_t each, mapped read-only): 1 as long as the pages may be
  // reached. The driver writes 0 when it pulls them, as the real one unmaps them from the
  // importer's device.
  uint32_t validity_slot;
};

// What DCMI and device attributes say of one device. Values come from the node file.
struct DeviceRecord {
  uint32_t physical_id;
  uint32_t card_id;
  uint32_t device_id_in_card;
  uint32_t health;  // DCMI's number
  char chip_type[32];
  char chip_name[32];
  char chip_version[32];
  char npu_name[32];
  uint32_t ai_core_count;
  uint32_t vector_core_count;
  uint64_t memory_total_bytes;
  uint64_t memory_used_bytes;
  uint32_t memory_frequency_mhz;
  int32_t temperature_celsius;
  uint32_t utilization_percent[16];  // by DCMI's type number
  uint32_t board_id;
  uint32_t mainboard_id;
  uint32_t pci_vendor_id;
  uint32_t pci_device_id;
  uint32_t pci_domain;
  uint32_t pci_bus;
  uint32_t pci_device;
  uint32_t pci_function;
  uint32_t die_id[5];
  int32_t numa_node;  // -1: unknown
  char cpu_affinity[64];
  uint32_t super_pod_device_id;
  uint32_t super_pod_size;
  uint32_t super_pod_id;
  uint32_t server_index;
  uint32_t device_share;
  uint32_t fault_count;
  uint32_t fault_codes[32];
};

struct ProcessList {
  uint32_t count;
  struct {
    int32_t host_pid;
    uint32_t reserved;
    uint64_t memory_bytes;
  } processes[32];
};

struct FaultMessage {
  uint32_t code;
  uint32_t logical_id;  // as HelloReply numbers the devices of this process
  uint32_t severity;
  uint32_t assertion;  // 0 cleared, 1 raised, 2 has no end
  uint32_t node_type;
  int32_t serial_number;          // of the fault
  int32_t message_serial_number;  // of this message
  uint32_t reserved;
  uint64_t raised_at_ms;  // since the epoch
  char name[128];
};

struct Reply {
  int32_t error;      // 0, or a positive errno
  int32_t dcmi_code;  // not 0: what the DCMI call is to return instead
  uint32_t value32;
  uint32_t reserved;
  uint64_t values[2];
  union {
    HelloReply hello;
    ShareReply share;
    DeviceRecord record;
    ProcessList processes;
    char key[72];
  };
};

}  // namespace npu_ipc::sim
