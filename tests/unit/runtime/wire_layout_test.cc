// What version 1.1 of the protocol fixed stays as it was released: a change of wire.h that a
// library or a broker of that version would misread does not compile here. These numbers are never
// changed.
#include <stddef.h>

#include "runtime/protocol/wire.h"

namespace npu_ipc::wire {

#define NPU_IPC_VALUE(type, name, value) \
  static_assert(static_cast<int>(type::name) == (value), #type "::" #name)
#define NPU_IPC_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), "the size of " #type)
// Every message begins with its header.
#define NPU_IPC_FIELD(type, field, offset, bytes)                                    \
  static_assert(offsetof(type, field) == (offset) && sizeof(type::field) == (bytes), \
                #type "::" #field)

static_assert(kVersionMajor == 1 && kVersionMinor >= 1);

NPU_IPC_VALUE(HandleKind, kIpcKey, 1);
NPU_IPC_VALUE(HandleKind, kShareable, 2);
NPU_IPC_VALUE(HandleKind, kFabric, 3);
NPU_IPC_VALUE(HandleKind, kNotify, 4);
NPU_IPC_VALUE(HandleKind, kEvent, 5);

NPU_IPC_VALUE(Status, kOk, 0);
NPU_IPC_VALUE(Status, kMalformed, 1);
NPU_IPC_VALUE(Status, kVersionMismatch, 2);
NPU_IPC_VALUE(Status, kNotInPod, 3);
NPU_IPC_VALUE(Status, kUnknownPod, 4);
NPU_IPC_VALUE(Status, kNoGroup, 5);
NPU_IPC_VALUE(Status, kBadAnnotation, 6);
NPU_IPC_VALUE(Status, kNotInGroup, 7);
NPU_IPC_VALUE(Status, kRoleDenied, 8);
NPU_IPC_VALUE(Status, kNameTaken, 9);
NPU_IPC_VALUE(Status, kNotFound, 10);
NPU_IPC_VALUE(Status, kTimedOut, 11);
NPU_IPC_VALUE(Status, kExporterGone, 12);
NPU_IPC_VALUE(Status, kExporterFailed, 13);
NPU_IPC_VALUE(Status, kLimit, 14);
NPU_IPC_VALUE(Status, kUnsupported, 15);
NPU_IPC_VALUE(Status, kReconnect, 16);
NPU_IPC_VALUE(Status, kShuttingDown, 17);
NPU_IPC_VALUE(Status, kUnreachable, 18);
NPU_IPC_VALUE(Status, kStillHeld, 19);
NPU_IPC_VALUE(Status, kPeerLimit, 20);
NPU_IPC_VALUE(Status, kInternal, 21);
NPU_IPC_VALUE(Status, kPolicyDenied, 22);
NPU_IPC_VALUE(Status, kNamespaceDenied, 23);
NPU_IPC_VALUE(Status, kQuotaExceeded, 24);
NPU_IPC_VALUE(Status, kClaimContradicted, 25);

NPU_IPC_VALUE(MessageType, kHello, 1);
NPU_IPC_VALUE(MessageType, kPublish, 2);
NPU_IPC_VALUE(MessageType, kAttach, 3);
NPU_IPC_VALUE(MessageType, kWithdraw, 4);
NPU_IPC_VALUE(MessageType, kList, 5);
NPU_IPC_VALUE(MessageType, kSubscribe, 6);
NPU_IPC_VALUE(MessageType, kReclaimRegion, 7);
NPU_IPC_VALUE(MessageType, kReclaimMapping, 8);
NPU_IPC_VALUE(MessageType, kImported, 32);
NPU_IPC_VALUE(MessageType, kDetached, 33);
NPU_IPC_VALUE(MessageType, kAdmitted, 34);
NPU_IPC_VALUE(MessageType, kUnsubscribe, 35);
NPU_IPC_VALUE(MessageType, kPeerHeld, 36);
NPU_IPC_VALUE(MessageType, kReclaimDone, 37);
NPU_IPC_VALUE(MessageType, kRotated, 38);
NPU_IPC_VALUE(MessageType, kClosed, 39);
NPU_IPC_VALUE(MessageType, kWelcome, 64);
NPU_IPC_VALUE(MessageType, kPublished, 65);
NPU_IPC_VALUE(MessageType, kGrant, 66);
NPU_IPC_VALUE(MessageType, kWithdrawn, 67);
NPU_IPC_VALUE(MessageType, kRefused, 68);
NPU_IPC_VALUE(MessageType, kListed, 69);
NPU_IPC_VALUE(MessageType, kSubscribed, 70);
NPU_IPC_VALUE(MessageType, kReclaimed, 71);
NPU_IPC_VALUE(MessageType, kAdmit, 96);
NPU_IPC_VALUE(MessageType, kWithdrawing, 97);
NPU_IPC_VALUE(MessageType, kPeerRelease, 98);
NPU_IPC_VALUE(MessageType, kRotate, 99);
NPU_IPC_VALUE(MessageType, kRepublished, 100);
NPU_IPC_VALUE(MessageType, kRegionChange, 101);

NPU_IPC_VALUE(WithdrawReason, kWithdrawn, 1);
NPU_IPC_VALUE(WithdrawReason, kExporterGone, 2);
NPU_IPC_VALUE(WithdrawReason, kRevoked, 3);
NPU_IPC_VALUE(WithdrawReason, kRotated, 4);

NPU_IPC_VALUE(Change, kPublished, 1);
NPU_IPC_VALUE(Change, kAdmitted, 2);
NPU_IPC_VALUE(Change, kGone, 3);

NPU_IPC_VALUE(RotateReason, kRevoked, 1);
NPU_IPC_VALUE(RotateReason, kWhitelistFull, 2);
NPU_IPC_VALUE(RotateReason, kTainted, 3);

NPU_IPC_SIZE(MessageHeader, 24);
NPU_IPC_FIELD(MessageHeader, version_major, 0, 2);
NPU_IPC_FIELD(MessageHeader, version_minor, 2, 2);
NPU_IPC_FIELD(MessageHeader, type, 4, 4);
NPU_IPC_FIELD(MessageHeader, bytes, 8, 4);
NPU_IPC_FIELD(MessageHeader, speaks_minor, 12, 4);
NPU_IPC_FIELD(MessageHeader, request_id, 16, 8);

NPU_IPC_SIZE(Hello, 64);
NPU_IPC_FIELD(Hello, claimed_pid, 24, 4);
NPU_IPC_FIELD(Hello, claimed_bare_tgid, 28, 4);
NPU_IPC_FIELD(Hello, library_version, 32, 32);

NPU_IPC_SIZE(Welcome, 848);
NPU_IPC_FIELD(Welcome, host_pid, 24, 4);
NPU_IPC_FIELD(Welcome, group_count, 28, 4);
NPU_IPC_FIELD(Welcome, pod_namespace, 32, 64);
NPU_IPC_FIELD(Welcome, pod_name, 96, 256);
NPU_IPC_FIELD(Welcome, pod_uid, 352, 64);
NPU_IPC_FIELD(Welcome, container_id, 416, 80);
NPU_IPC_FIELD(Welcome, container_name, 496, 64);
NPU_IPC_FIELD(Welcome, groups, 560, 256);
NPU_IPC_FIELD(Welcome, broker_version, 816, 32);

NPU_IPC_SIZE(Publish, 440);
NPU_IPC_FIELD(Publish, group, 24, 128);
NPU_IPC_FIELD(Publish, name, 152, 128);
NPU_IPC_FIELD(Publish, handle_kind, 280, 4);
NPU_IPC_FIELD(Publish, claimed_physical_device, 284, 4);
NPU_IPC_FIELD(Publish, handle, 288, 128);
NPU_IPC_FIELD(Publish, allocation_bytes, 416, 8);
NPU_IPC_FIELD(Publish, view_offset, 424, 8);
NPU_IPC_FIELD(Publish, view_bytes, 432, 8);

NPU_IPC_SIZE(Published, 40);
NPU_IPC_FIELD(Published, region_id, 24, 8);
NPU_IPC_FIELD(Published, generation, 32, 8);

NPU_IPC_SIZE(Attach, 288);
NPU_IPC_FIELD(Attach, group, 24, 128);
NPU_IPC_FIELD(Attach, name, 152, 128);
NPU_IPC_FIELD(Attach, claimed_physical_device, 280, 4);
NPU_IPC_FIELD(Attach, wait_milliseconds, 284, 4);

NPU_IPC_SIZE(Admit, 48);
NPU_IPC_FIELD(Admit, region_id, 24, 8);
NPU_IPC_FIELD(Admit, importer_host_pid, 32, 4);
NPU_IPC_FIELD(Admit, importer_physical_device, 36, 4);
NPU_IPC_FIELD(Admit, deadline_milliseconds, 40, 4);
NPU_IPC_FIELD(Admit, enable_peer_access, 44, 4);

NPU_IPC_SIZE(Admitted, 48);
NPU_IPC_FIELD(Admitted, region_id, 24, 8);
NPU_IPC_FIELD(Admitted, importer_host_pid, 32, 4);
NPU_IPC_FIELD(Admitted, status, 36, 4);
NPU_IPC_FIELD(Admitted, vendor_code, 40, 4);
NPU_IPC_FIELD(Admitted, importer_physical_device, 44, 4);

NPU_IPC_SIZE(Grant, 600);
NPU_IPC_FIELD(Grant, grant_id, 24, 8);
NPU_IPC_FIELD(Grant, region_id, 32, 8);
NPU_IPC_FIELD(Grant, generation, 40, 8);
NPU_IPC_FIELD(Grant, allocation_bytes, 48, 8);
NPU_IPC_FIELD(Grant, view_offset, 56, 8);
NPU_IPC_FIELD(Grant, view_bytes, 64, 8);
NPU_IPC_FIELD(Grant, handle_kind, 72, 4);
NPU_IPC_FIELD(Grant, exporter_physical_device, 76, 4);
NPU_IPC_FIELD(Grant, exporter_host_pid, 80, 4);
NPU_IPC_FIELD(Grant, enable_peer_access, 84, 4);
NPU_IPC_FIELD(Grant, handle, 88, 128);
NPU_IPC_FIELD(Grant, exporter_namespace, 216, 64);
NPU_IPC_FIELD(Grant, exporter_pod, 280, 256);
NPU_IPC_FIELD(Grant, exporter_pod_uid, 536, 64);

NPU_IPC_SIZE(Imported, 40);
NPU_IPC_FIELD(Imported, grant_id, 24, 8);
NPU_IPC_FIELD(Imported, status, 32, 4);
NPU_IPC_FIELD(Imported, vendor_code, 36, 4);

NPU_IPC_SIZE(Detached, 32);
NPU_IPC_FIELD(Detached, grant_id, 24, 8);

NPU_IPC_SIZE(Withdraw, 40);
NPU_IPC_FIELD(Withdraw, region_id, 24, 8);
NPU_IPC_FIELD(Withdraw, drain_milliseconds, 32, 4);
NPU_IPC_FIELD(Withdraw, reserved, 36, 4);

NPU_IPC_SIZE(Withdrawn, 296);
NPU_IPC_FIELD(Withdrawn, region_id, 24, 8);
NPU_IPC_FIELD(Withdrawn, status, 32, 4);
NPU_IPC_FIELD(Withdrawn, remaining, 36, 4);
NPU_IPC_FIELD(Withdrawn, holders, 40, 256);

NPU_IPC_SIZE(Withdrawing, 40);
NPU_IPC_FIELD(Withdrawing, grant_id, 24, 8);
NPU_IPC_FIELD(Withdrawing, reason, 32, 4);
NPU_IPC_FIELD(Withdrawing, drain_milliseconds, 36, 4);

NPU_IPC_SIZE(PeerRelease, 32);
NPU_IPC_FIELD(PeerRelease, own_physical_device, 24, 4);
NPU_IPC_FIELD(PeerRelease, peer_physical_device, 28, 4);

NPU_IPC_SIZE(Refused, 288);
NPU_IPC_FIELD(Refused, status, 24, 4);
NPU_IPC_FIELD(Refused, vendor_code, 28, 4);
NPU_IPC_FIELD(Refused, reason, 32, 256);

NPU_IPC_SIZE(RegionDescription, 688);
NPU_IPC_FIELD(RegionDescription, group, 0, 128);
NPU_IPC_FIELD(RegionDescription, name, 128, 128);
NPU_IPC_FIELD(RegionDescription, region_id, 256, 8);
NPU_IPC_FIELD(RegionDescription, generation, 264, 8);
NPU_IPC_FIELD(RegionDescription, allocation_bytes, 272, 8);
NPU_IPC_FIELD(RegionDescription, view_bytes, 280, 8);
NPU_IPC_FIELD(RegionDescription, exporter_physical_device, 288, 4);
NPU_IPC_FIELD(RegionDescription, exporter_host_pid, 292, 4);
NPU_IPC_FIELD(RegionDescription, importers, 296, 4);
NPU_IPC_FIELD(RegionDescription, reserved, 300, 4);
NPU_IPC_FIELD(RegionDescription, exporter_namespace, 304, 64);
NPU_IPC_FIELD(RegionDescription, exporter_pod, 368, 256);
NPU_IPC_FIELD(RegionDescription, exporter_pod_uid, 624, 64);

NPU_IPC_SIZE(List, 408);
NPU_IPC_FIELD(List, group, 24, 128);
NPU_IPC_FIELD(List, prefix, 152, 128);
NPU_IPC_FIELD(List, after, 280, 128);

NPU_IPC_SIZE(Listed, 720);
NPU_IPC_FIELD(Listed, found, 24, 4);
NPU_IPC_FIELD(Listed, reserved, 28, 4);
NPU_IPC_FIELD(Listed, region, 32, 688);

NPU_IPC_SIZE(Subscribe, 288);
NPU_IPC_FIELD(Subscribe, group, 24, 128);
NPU_IPC_FIELD(Subscribe, prefix, 152, 128);
NPU_IPC_FIELD(Subscribe, claimed_physical_device, 280, 4);
NPU_IPC_FIELD(Subscribe, admit_ahead, 284, 4);

NPU_IPC_SIZE(Subscribed, 32);
NPU_IPC_FIELD(Subscribed, subscription_id, 24, 8);

NPU_IPC_SIZE(Unsubscribe, 32);
NPU_IPC_FIELD(Unsubscribe, subscription_id, 24, 8);

NPU_IPC_SIZE(RegionChange, 728);
NPU_IPC_FIELD(RegionChange, subscription_id, 24, 8);
NPU_IPC_FIELD(RegionChange, change, 32, 4);
NPU_IPC_FIELD(RegionChange, reserved, 36, 4);
NPU_IPC_FIELD(RegionChange, region, 40, 688);

NPU_IPC_SIZE(ReclaimRegion, 456);
NPU_IPC_FIELD(ReclaimRegion, group, 24, 128);
NPU_IPC_FIELD(ReclaimRegion, name, 152, 128);
NPU_IPC_FIELD(ReclaimRegion, handle_kind, 280, 4);
NPU_IPC_FIELD(ReclaimRegion, claimed_physical_device, 284, 4);
NPU_IPC_FIELD(ReclaimRegion, handle, 288, 128);
NPU_IPC_FIELD(ReclaimRegion, allocation_bytes, 416, 8);
NPU_IPC_FIELD(ReclaimRegion, view_offset, 424, 8);
NPU_IPC_FIELD(ReclaimRegion, view_bytes, 432, 8);
NPU_IPC_FIELD(ReclaimRegion, generation, 440, 8);
NPU_IPC_FIELD(ReclaimRegion, whitelisted, 448, 4);
NPU_IPC_FIELD(ReclaimRegion, withdrawn, 452, 4);

NPU_IPC_SIZE(ReclaimMapping, 520);
NPU_IPC_FIELD(ReclaimMapping, group, 24, 128);
NPU_IPC_FIELD(ReclaimMapping, name, 152, 128);
NPU_IPC_FIELD(ReclaimMapping, generation, 280, 8);
NPU_IPC_FIELD(ReclaimMapping, allocation_bytes, 288, 8);
NPU_IPC_FIELD(ReclaimMapping, view_bytes, 296, 8);
NPU_IPC_FIELD(ReclaimMapping, exporter_host_pid, 304, 4);
NPU_IPC_FIELD(ReclaimMapping, exporter_physical_device, 308, 4);
NPU_IPC_FIELD(ReclaimMapping, claimed_physical_device, 312, 4);
NPU_IPC_FIELD(ReclaimMapping, enable_peer_access, 316, 4);
NPU_IPC_FIELD(ReclaimMapping, handle_kind, 320, 4);
NPU_IPC_FIELD(ReclaimMapping, reserved, 324, 4);
NPU_IPC_FIELD(ReclaimMapping, handle, 328, 128);
NPU_IPC_FIELD(ReclaimMapping, exporter_pod_uid, 456, 64);

NPU_IPC_SIZE(Reclaimed, 32);
NPU_IPC_FIELD(Reclaimed, grant_id, 24, 8);

NPU_IPC_SIZE(PeerHeld, 32);
NPU_IPC_FIELD(PeerHeld, own_physical_device, 24, 4);
NPU_IPC_FIELD(PeerHeld, peer_physical_device, 28, 4);

NPU_IPC_SIZE(ReclaimDone, 24);

NPU_IPC_SIZE(Rotate, 40);
NPU_IPC_FIELD(Rotate, region_id, 24, 8);
NPU_IPC_FIELD(Rotate, reason, 32, 4);
NPU_IPC_FIELD(Rotate, deadline_milliseconds, 36, 4);

NPU_IPC_SIZE(Rotated, 168);
NPU_IPC_FIELD(Rotated, region_id, 24, 8);
NPU_IPC_FIELD(Rotated, status, 32, 4);
NPU_IPC_FIELD(Rotated, vendor_code, 36, 4);
NPU_IPC_FIELD(Rotated, handle, 40, 128);

NPU_IPC_SIZE(Republished, 40);
NPU_IPC_FIELD(Republished, region_id, 24, 8);
NPU_IPC_FIELD(Republished, generation, 32, 8);

NPU_IPC_SIZE(Closed, 32);
NPU_IPC_FIELD(Closed, region_id, 24, 8);

// What 1.0 does not know is not sent to it.
constexpr MessageType kSince11[] = {
    MessageType::kList,           MessageType::kSubscribe,   MessageType::kReclaimRegion,
    MessageType::kReclaimMapping, MessageType::kUnsubscribe, MessageType::kPeerHeld,
    MessageType::kReclaimDone,    MessageType::kRotated,     MessageType::kClosed,
    MessageType::kListed,         MessageType::kSubscribed,  MessageType::kReclaimed,
    MessageType::kRotate,         MessageType::kRepublished, MessageType::kRegionChange};
constexpr bool AreSince11() {
  for (const MessageType type : kSince11) {
    if (MinorOf(type) != 1) return false;
  }
  return true;
}
static_assert(AreSince11());

}  // namespace npu_ipc::wire
