// What the injected library and the broker say to each other.
//
// Plain structs over one AF_UNIX SOCK_SEQPACKET connection a process: one packet, one message,
// native byte order (both ends run on one machine), sizes pinned below. This header is all that the
// two share; it needs nothing but fixed-width integers, so that it compiles freestanding.
//
// Rules
//  1. Every message starts with a MessageHeader, and that with the version: the major one of both
//     ends, and the minor one that brought the message's type. A broker refuses a message newer
//     than itself (Refused, kVersionMismatch); a library skips types that it does
//     not know. Minor versions add message types, or use a `reserved` field that was zero. Hello,
//     Welcome and Refused say what minor version their sender speaks (`speaks_minor`): neither
//     sends the other what it does not know. A broker serves every older minor version of its
//     major.
//  2. `bytes` is the size of the whole message and equals what the packet holds.
//  3. A request carries a `request_id` of its sender's; the answer repeats it. Unasked messages
//  have 0.
//  4. Text is UTF-8 in a fixed array, ended and filled with NULs. A text without a NUL is
//  malformed.
//  5. Nothing that a client sends is believed: who it is comes from the socket, not from a message.
//     `claimed_` fields are shown to people and checked where something can check them.
//     A pod whose annotation allows nothing (any more) is refused at its Hello. Where the library
//     speaks 1.1 the connection stays all the same, so that what the process holds from before can
//     be reclaimed: it is known then, and revoked.
//  6. A malformed message is answered with Refused and ends the connection; other clients notice
//  nothing.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace npu_ipc::wire {

inline constexpr uint16_t kVersionMajor = 1;
inline constexpr uint16_t kVersionMinor = 2;

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
  // As kIpcKey, exported with its pid validation off: any process of the node that has the key, or
  // guesses it, can import the memory (1.2).
  kOpenIpcKey = 6,
};

inline constexpr bool IsIpcKey(HandleKind kind) {
  return kind == HandleKind::kIpcKey || kind == HandleKind::kOpenIpcKey;
}

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
  // Since 1.1; told as the status in brackets to who speaks 1.0.
  kPolicyDenied = 22,       // the cluster's policy forbids it (kRoleDenied)
  kNamespaceDenied = 23,    // the other namespace has not given its leave (kNotInGroup)
  kQuotaExceeded = 24,      // a byte limit of the pod, the node or the annotation (kLimit)
  kClaimContradicted = 25,  // the driver's own records say otherwise (kMalformed)
};
inline constexpr Status kLastStatus = Status::kClaimContradicted;

enum class MessageType : uint32_t {
  // Library to broker, answered.
  kHello = 1,           // Welcome
  kPublish = 2,         // Published
  kAttach = 3,          // Grant
  kWithdraw = 4,        // Withdrawn
  kList = 5,            // Listed (1.1)
  kSubscribe = 6,       // Subscribed (1.1)
  kReclaimRegion = 7,   // Published (1.1)
  kReclaimMapping = 8,  // Reclaimed (1.1)
  // An Attach to a region that has been published: where it has not, NOT_FOUND at once, unless its
  // exporter may be about to come back to a broker that was restarted. Grant (1.2)
  kAttachPublished = 9,
  kTranslatePids = 10,  // PidsTranslated (1.2)
  kAskPolicy = 11,      // PolicyTold (1.2)
  // Library to broker, not answered.
  kImported = 32,     // the outcome of a Grant
  kDetached = 33,     // the importer has closed its mapping
  kAdmitted = 34,     // the outcome of an Admit (same request_id)
  kUnsubscribe = 35,  // (1.1)
  kPeerHeld = 36,     // peer access that this process has enabled, told after a reconnect (1.1)
  kReclaimDone = 37,  // all that this process holds has been told (1.1)
  kRotated = 38,      // the outcome of a Rotate (same request_id) (1.1)
  kClosed = 39,       // the exporter has closed the export under its importers (1.1)
  // Broker to library: answers.
  kWelcome = 64,
  kPublished = 65,
  kGrant = 66,
  kWithdrawn = 67,
  kRefused = 68,         // any request's other answer
  kListed = 69,          // (1.1)
  kSubscribed = 70,      // (1.1)
  kReclaimed = 71,       // (1.1)
  kPidsTranslated = 72,  // (1.2)
  kPolicyTold = 73,      // (1.2)
  // Broker to library, unasked.
  kAdmit = 96,          // to an exporter: whitelist this process
  kWithdrawing = 97,    // to an importer: close this mapping
  kPeerRelease = 98,    // to either: the last share between these two devices is gone
  kRotate = 99,         // to an exporter: close the key, export anew, answer with Rotated (1.1)
  kRepublished = 100,   // to an exporter: what a region's generation is after Rotated (1.1)
  kRegionChange = 101,  // to a subscriber (1.1)
};

// The minor version that brought a type.
constexpr uint16_t MinorOf(MessageType type) {
  switch (type) {
    case MessageType::kList:
    case MessageType::kSubscribe:
    case MessageType::kReclaimRegion:
    case MessageType::kReclaimMapping:
    case MessageType::kUnsubscribe:
    case MessageType::kPeerHeld:
    case MessageType::kReclaimDone:
    case MessageType::kRotated:
    case MessageType::kClosed:
    case MessageType::kListed:
    case MessageType::kSubscribed:
    case MessageType::kReclaimed:
    case MessageType::kRotate:
    case MessageType::kRepublished:
    case MessageType::kRegionChange:
      return 1;
    case MessageType::kAttachPublished:
    case MessageType::kTranslatePids:
    case MessageType::kAskPolicy:
    case MessageType::kPidsTranslated:
    case MessageType::kPolicyTold:
      return 2;
    default:
      return 0;
  }
}

struct MessageHeader {
  uint16_t version_major;
  uint16_t version_minor;
  MessageType type;
  uint32_t bytes;
  uint32_t speaks_minor;  // in Hello, Welcome and Refused; else 0
  uint64_t request_id;
};
static_assert(sizeof(MessageHeader) == 24);

// What an Admit's or a Rotate's deadline_milliseconds is. To a library that speaks 1.2 the broker
// says the instant, in milliseconds of CLOCK_MONOTONIC modulo 2^32, and gives the message the minor
// version 2: however long the message lies somewhere, it is not carried out later. Others count
// from its arrival, which a process that was stopped meanwhile takes for the moment of its return.
//
// A time namespace shifts that clock. A library which finds the instant further ahead than
// kMaxDeadlineMilliseconds takes it for passed: then nothing is carried out, and the broker says
// who does not answer.
constexpr bool DeadlineIsInstant(const MessageHeader& header) { return header.version_minor >= 2; }
inline constexpr uint32_t kMaxDeadlineMilliseconds = 600'000;

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
  char group[kNameBytes];  // empty: the pod's only group; "namespace/name": another namespace's
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
  uint64_t region_id;  // unique as long as the broker lives
  // Higher each time that the name is published, over restarts of the broker too. In answer to
  // ReclaimRegion the one that was claimed, or 0: the broker knows the region and its importers,
  // but it has no name any more and lets nobody in.
  uint64_t generation;
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
  MessageHeader header;  // version_minor: as DeadlineIsInstant() has it
  uint64_t region_id;
  int32_t importer_host_pid;
  uint32_t importer_physical_device;
  uint32_t deadline_milliseconds;  // the library drops it unanswered after that
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
  kRotated =
      4,  // the exporter renews the key: close, and attach again for the next generation (1.1)
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

// Since 1.1 from here on.

// A live region, as any member of its group may know it. Never a handle.
struct RegionDescription {
  char group[kNameBytes];  // as the asking pod would name it
  char name[kNameBytes];
  uint64_t region_id;
  uint64_t generation;
  uint64_t allocation_bytes;
  uint64_t view_bytes;
  uint32_t exporter_physical_device;
  int32_t exporter_host_pid;
  uint32_t importers;
  uint32_t reserved;
  char exporter_namespace[64];
  char exporter_pod[256];
  char exporter_pod_uid[64];
};
static_assert(sizeof(RegionDescription) == 256 + 32 + 16 + 64 + 256 + 64);

// The next region of the group, in the order of names, whose name starts with `prefix` and comes
// after `after`: asked again with the name that came, until nothing is found.
struct List {
  MessageHeader header;
  char group[kNameBytes];   // empty: the pod's only group
  char prefix[kNameBytes];  // empty: every name
  char after[kNameBytes];   // empty: from the first
};
static_assert(sizeof(List) == 24 + 384);

struct Listed {
  MessageHeader header;
  uint32_t found;  // 0: there is none any more; the rest is empty
  uint32_t reserved;
  RegionDescription region;
};
static_assert(sizeof(Listed) == 32 + sizeof(RegionDescription));

// To be told of the group's regions whose names start with `prefix`, those that are there and those
// that come, and to be whitelisted ahead of an attach.
struct Subscribe {
  MessageHeader header;
  char group[kNameBytes];            // empty: the pod's only group
  char prefix[kNameBytes];           // empty: every name
  uint32_t claimed_physical_device;  // the device that this process will attach with
  uint32_t admit_ahead;              // 1: ask exporters to whitelist this process at once
};
static_assert(sizeof(Subscribe) == 24 + 256 + 8);

struct Subscribed {
  MessageHeader header;
  uint64_t subscription_id;
};
static_assert(sizeof(Subscribed) == 32);

struct Unsubscribe {
  MessageHeader header;
  uint64_t subscription_id;
};
static_assert(sizeof(Unsubscribe) == 32);

enum class Change : uint32_t {
  kPublished = 1,  // it is there (again, with a higher generation)
  kAdmitted = 2,   // an attach to it now takes one round trip
  kGone = 3,       // withdrawn, revoked, or its exporter has ended
};

struct RegionChange {
  MessageHeader header;
  uint64_t subscription_id;
  Change change;
  uint32_t reserved;
  RegionDescription region;
};
static_assert(sizeof(RegionChange) == 40 + sizeof(RegionDescription));

// After a reconnect: a region that this process published before and still exports.
struct ReclaimRegion {
  MessageHeader header;
  char group[kNameBytes];
  char name[kNameBytes];
  HandleKind handle_kind;
  uint32_t claimed_physical_device;
  uint8_t handle[kHandleBytes];
  uint64_t allocation_bytes;
  uint64_t view_offset;
  uint64_t view_bytes;
  uint64_t generation;   // as Published or Republished had it
  uint32_t whitelisted;  // processes that this library has put on the key's whitelist
  uint32_t withdrawn;    // 1: it lets nobody in any more, and claims no name
};
static_assert(sizeof(ReclaimRegion) == 24 + 256 + 8 + 128 + 24 + 16);

// After a reconnect: a mapping that this process has still open. It is what it says where the
// exporter's ReclaimRegion agrees with it; the handle is what only those know who were granted it.
struct ReclaimMapping {
  MessageHeader header;
  char group[kNameBytes];  // as Attach named it
  char name[kNameBytes];
  uint64_t generation;  // as Grant had it, like what follows
  uint64_t allocation_bytes;
  uint64_t view_bytes;
  int32_t exporter_host_pid;
  uint32_t exporter_physical_device;
  uint32_t claimed_physical_device;  // of this process
  uint32_t enable_peer_access;       // 1: it uses peer access to the exporter's device
  HandleKind handle_kind;
  uint32_t reserved;
  uint8_t handle[kHandleBytes];
  char exporter_pod_uid[64];
};
static_assert(sizeof(ReclaimMapping) == 24 + 256 + 24 + 16 + 8 + 128 + 64);

// Followed by Withdrawing where the mapping is not what it was.
struct Reclaimed {
  MessageHeader header;
  uint64_t grant_id;  // in the place of the one that the mapping had
};
static_assert(sizeof(Reclaimed) == 32);

// Told before the regions: a pair is not released while it is not known who uses it.
struct PeerHeld {
  MessageHeader header;
  uint32_t own_physical_device;
  uint32_t peer_physical_device;
};
static_assert(sizeof(PeerHeld) == 32);

struct ReclaimDone {
  MessageHeader header;
};
static_assert(sizeof(ReclaimDone) == 24);

enum class RotateReason : uint32_t {
  kRevoked = 1,        // somebody on the key's whitelist may not import any more
  kWhitelistFull = 2,  // the key's whitelist nears the driver's limit
  kTainted = 3,        // a process that was not meant is on the key's whitelist
};

// Close the region's key, which pulls its pages from every importer, and export the allocation
// anew. All names of the allocation get the new key. Answered with Rotated under the same
// request_id.
struct Rotate {
  MessageHeader header;
  uint64_t region_id;
  RotateReason reason;
  uint32_t deadline_milliseconds;  // as Admit's
};
static_assert(sizeof(Rotate) == 40);

struct Rotated {
  MessageHeader header;
  uint64_t region_id;
  Status status;        // kOk: `handle` is the allocation's new key; kExporterGone: the old key is
                        // closed, and there is no new one; else nothing has changed
  int32_t vendor_code;  // aclError of what failed; else 0
  uint8_t handle[kHandleBytes];
};
static_assert(sizeof(Rotated) == 40 + 128);

// One for each name of the allocation; also alone, where a region ends without the exporter's
// having asked for it: its right was taken back, or a rotation failed.
struct Republished {
  MessageHeader header;
  uint64_t region_id;
  uint64_t generation;  // 0: it is published no longer
};
static_assert(sizeof(Republished) == 40);

// After a Withdraw that was forced: the importers' mappings are dead.
struct Closed {
  MessageHeader header;
  uint64_t region_id;
};
static_assert(sizeof(Closed) == 32);

// Since 1.2 from here on: what unmodified programs need.

inline constexpr uint32_t kMaxPids = 31;  // driver: of one call

// Which host pids are meant by pids that a program has from other processes, which may have told it
// their own namespace's.
struct TranslatePids {
  MessageHeader header;
  uint32_t count;
  int32_t pids[kMaxPids];
};
static_assert(sizeof(TranslatePids) == 24 + 4 + 124);

// In the order of the request. A pid that is a host pid already, or that no process or more than
// one of the pod's groups has in its own namespace, is as it was.
struct PidsTranslated {
  MessageHeader header;
  uint32_t count;
  int32_t pids[kMaxPids];
};
static_assert(sizeof(PidsTranslated) == 24 + 4 + 124);

// What the cluster allows this pod.
struct AskPolicy {
  MessageHeader header;
};
static_assert(sizeof(AskPolicy) == 24);

struct PolicyTold {
  MessageHeader header;
  uint32_t may_disable_pid_validation;  // 1: what it exports may be kOpenIpcKey
  uint32_t reserved;
};
static_assert(sizeof(PolicyTold) == 32);

static_assert(sizeof(Welcome) <= kMaxMessageBytes && sizeof(Grant) <= kMaxMessageBytes &&
              sizeof(Publish) <= kMaxMessageBytes && sizeof(RegionChange) <= kMaxMessageBytes &&
              sizeof(ReclaimRegion) <= kMaxMessageBytes);

}  // namespace npu_ipc::wire
