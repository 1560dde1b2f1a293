// What the injected library and the broker say to each other.
//
// Plain structs over one AF_UNIX SOCK_SEQPACKET connection a process: one packet, one message,
// native byte order (both ends run on one machine), sizes pinned below. This header is all that the
// two share; it needs nothing but fixed-width integers, so that it compiles freestanding.
//
// Rules
//  1. Every message starts with a MessageHeader, and that with the version. A broker accepts every
//  minor
//     version of its own major up to its own, and answers a newer one with its own version
//     (Refused, kVersionMismatch). Minor versions add message types, or use a `reserved` field that
//     was zero.
//  2. `bytes` is the size of the whole message and equals what the packet holds.
//  3. A request carries a `request_id` of its sender's; the answer repeats it. Unasked messages
//  have 0.
//  4. Text is UTF-8 in a fixed array, ended and filled with NULs. A text without a NUL is
//  malformed.
//  5. Nothing that a client sends is believed: who it is comes from the socket, not from a message.
//     `claimed_` fields are shown to people and checked where something can check them.
//  6. A malformed message is answered with Refused and ends the connection; other clients notice
//  nothing.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace npu_ipc::wire {

inline constexpr uint16_t kVersionMajor = 1;
inline constexpr uint16_t kVersionMinor = 0;

// Where a container finds the broker, unless its environment says otherwise.
inline constexpr char kDefaultSocketPath[] = "/run/npu-ipc/broker.sock";
inline constexpr char kSocketPathVariable[] = "NPU_IPC_SOCKET";

inline constexpr size_t kNameBytes = 128;    // a region's name, a group's name, with the NUL
inline constexpr size_t kHandleBytes = 128;  // an export key (65) today; fabric handles (128) later
inline constexpr size_t kReasonBytes = 256;
inline constexpr size_t kMaxMessageBytes = 1024;

// What kind of handle names the memory.
enum class HandleKind : uint32_t {
  kIpcKey = 1,     // aclrtIpcMemGetExportKey: 64 printable characters and a NUL
  kShareable = 2,  // aclrtMemExportToShareableHandle: not supported yet
  kFabric = 3,     // aclrtMemFabricHandle: not supported yet
  kNotify = 4,     // aclrtNotifyGetExportKey: not supported yet
  kEvent = 5,      // aclrtIpcGetEventHandle: not supported yet
};

// Why something was refused. The library passes these on as npu_ipc_status; values are fixed for
// ever.
enum class Status : int32_t {
  kOk = 0,
  kMalformed = 1,        // the message breaks a rule above
  kVersionMismatch = 2,  // other major version
  kNotInPod = 3,         // the process' cgroup names no pod
  kUnknownPod = 4,       // the pod directory does not know the pod (yet)
  kNoGroup = 5,          // the pod has no npu-ipc.io/group annotation
  kBadAnnotation = 6,    // an annotation has a value that is not accepted
  kNotInGroup = 7,       // the pod is not a member of the group asked for
  kRoleDenied = 8,       // the pod's role in the group does not allow it
  kNameTaken = 9,        // a live exporter holds the name
  kNotFound = 10,        // no such region
  kTimedOut = 11,        // the wait that the caller allowed has ended
  kExporterGone = 12,    // the exporter ended or withdrew meanwhile
  kExporterFailed = 13,  // the exporter's library could not whitelist; `vendor_code` says why
  kLimit = 14,           // too many of something
  kUnsupported = 15,     // not supported (yet)
  kReconnect = 16,     // this connection belongs to another process (a forked child): open your own
  kShuttingDown = 17,  // the broker is going; connect again
  kUnreachable = 18,   // the two devices cannot reach each other
  kStillHeld = 19,     // importers had not closed when the drain time ended
  kPeerLimit = 20,     // the driver's limit of processes on this pair of devices is reached
  kInternal = 21,
};

enum class MessageType : uint32_t {
  // Library to broker, answered.
  kHello = 1,      // Welcome
  kPublish = 2,    // Published
  kAttach = 3,     // Grant
  kWithdraw = 4,   // Withdrawn
  kList = 5,       // reserved
  kSubscribe = 6,  // reserved
  kReclaim = 7,    // reserved: what is still held, told again after a reconnect
  // Library to broker, not answered.
  kImported = 32,  // the outcome of a Grant
  kDetached = 33,  // the importer has closed its mapping
  kAdmitted = 34,  // the outcome of an Admit (same request_id)
  // Broker to library: answers.
  kWelcome = 64,
  kPublished = 65,
  kGrant = 66,
  kWithdrawn = 67,
  kRefused = 68,  // any request's other answer
  // Broker to library, unasked.
  kAdmit = 96,        // to an exporter: whitelist this process
  kWithdrawing = 97,  // to an importer: close this mapping
  kPeerRelease = 98,  // to either: the last share between these two devices is gone
};

struct MessageHeader {
  uint16_t version_major;
  uint16_t version_minor;
  MessageType type;
  uint32_t bytes;
  uint32_t reserved;  // 0
  uint64_t request_id;
};
static_assert(sizeof(MessageHeader) == 24);

// First on a connection.
struct Hello {
  MessageHeader header;
  int32_t claimed_pid;        // getpid(), as the process sees itself
  int32_t claimed_bare_tgid;  // aclrtDeviceGetBareTgid, or 0 where it could not be had
  char library_version[32];
};
static_assert(sizeof(Hello) == 64);

// Who the broker says the process is.
struct Welcome {
  MessageHeader header;
  int32_t host_pid;  // in the host's PID namespace
  uint32_t group_count;
  char pod_namespace[64];
  char pod_name[256];
  char pod_uid[64];
  char container_id[80];
  char container_name[64];  // empty where the pod directory does not have it
  char groups[256];         // "name:role,name:role", cut at an entry's end where it does not fit
  char broker_version[32];
};
static_assert(sizeof(Welcome) == 24 + 8 + 64 + 256 + 64 + 80 + 64 + 256 + 32);

struct Publish {
  MessageHeader header;
  char group[kNameBytes];  // empty: the pod's only group
  char name[kNameBytes];
  HandleKind handle_kind;
  uint32_t claimed_physical_device;
  uint8_t handle[kHandleBytes];
  uint64_t allocation_bytes;  // what the handle covers
  uint64_t view_offset;       // the region within it
  uint64_t view_bytes;
};
static_assert(sizeof(Publish) == 24 + 128 + 128 + 8 + 128 + 24);

struct Published {
  MessageHeader header;
  uint64_t region_id;   // unique as long as the broker lives
  uint64_t generation;  // 1 for a name's first publish; higher each time it is published again
};
static_assert(sizeof(Published) == 40);

struct Attach {
  MessageHeader header;
  char group[kNameBytes];  // empty: the pod's only group
  char name[kNameBytes];
  uint32_t claimed_physical_device;  // the device that the importing thread uses
  uint32_t wait_milliseconds;        // how long to wait for an exporter and its answer
};
static_assert(sizeof(Attach) == 24 + 256 + 8);

// To the exporter: let one process in. Answered with Admitted under the same request_id.
struct Admit {
  MessageHeader header;
  uint64_t region_id;
  int32_t importer_host_pid;
  uint32_t importer_physical_device;
  uint32_t deadline_milliseconds;  // from its arrival; the library drops later ones unanswered
  uint32_t enable_peer_access;  // 1: the devices differ; enable peer access to the importer's first
};
static_assert(sizeof(Admit) == 48);

struct Admitted {
  MessageHeader header;
  uint64_t region_id;
  int32_t importer_host_pid;
  Status status;                      // kOk: the pid is on the key's whitelist
  int32_t vendor_code;                // aclError of what failed; else 0
  uint32_t importer_physical_device;  // as Admit had it
};
static_assert(sizeof(Admitted) == 48);

// To the importer: import now.
struct Grant {
  MessageHeader header;
  uint64_t grant_id;
  uint64_t region_id;
  uint64_t generation;
  uint64_t allocation_bytes;
  uint64_t view_offset;
  uint64_t view_bytes;
  HandleKind handle_kind;
  uint32_t exporter_physical_device;
  int32_t exporter_host_pid;
  uint32_t enable_peer_access;  // 1: enable peer access to the exporter's device before importing
  uint8_t handle[kHandleBytes];
  char exporter_namespace[64];
  char exporter_pod[256];
  char exporter_pod_uid[64];
};
static_assert(sizeof(Grant) == 24 + 48 + 16 + 128 + 64 + 256 + 64);

struct Imported {
  MessageHeader header;
  uint64_t grant_id;
  Status status;        // anything but kOk gives the grant back
  int32_t vendor_code;  // aclError of what failed; else 0
};
static_assert(sizeof(Imported) == 40);

struct Detached {
  MessageHeader header;
  uint64_t grant_id;
};
static_assert(sizeof(Detached) == 32);

// The exporter wants its memory back: importers are told, and the answer waits for them.
struct Withdraw {
  MessageHeader header;
  uint64_t region_id;
  uint32_t drain_milliseconds;  // 0: tell importers, do not wait
  uint32_t reserved;
};
static_assert(sizeof(Withdraw) == 40);

struct Withdrawn {
  MessageHeader header;
  uint64_t region_id;
  Status status;               // kOk, or kStillHeld
  uint32_t remaining;          // grants not yet closed
  char holders[kReasonBytes];  // "namespace/pod (host pid 123), ...", cut where it does not fit
};
static_assert(sizeof(Withdrawn) == 24 + 16 + 256);

enum class WithdrawReason : uint32_t {
  kWithdrawn = 1,     // the exporter asked for its memory back
  kExporterGone = 2,  // the exporter has ended: the mapping is dead already
  kRevoked = 3,       // policy: the right to it was taken back
};

struct Withdrawing {
  MessageHeader header;
  uint64_t grant_id;
  WithdrawReason reason;
  uint32_t drain_milliseconds;  // how long the exporter waits
};
static_assert(sizeof(Withdrawing) == 40);

// Disable peer access from `own` to `peer`: no share between them uses it any more in this process.
struct PeerRelease {
  MessageHeader header;
  uint32_t own_physical_device;
  uint32_t peer_physical_device;
};
static_assert(sizeof(PeerRelease) == 32);

struct Refused {
  MessageHeader header;
  Status status;
  int32_t vendor_code;
  char reason[kReasonBytes];  // for people: names the thing, the cause and the way out
};
static_assert(sizeof(Refused) == 24 + 8 + 256);

static_assert(sizeof(Welcome) <= kMaxMessageBytes && sizeof(Grant) <= kMaxMessageBytes &&
              sizeof(Publish) <= kMaxMessageBytes);

}  // namespace npu_ipc::wire
