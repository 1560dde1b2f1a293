// What a released version of the protocol fixed stays as it was: a change of wire.h that a library or
// a broker of that version would misread does not compile here.
#include <stddef.h>

#include "runtime/protocol/wire.h"
#include "tests/fixtures/wire_1_1.h"

namespace npu_ipc {

#define NPU_IPC_SAME_SIZE(type) \
  static_assert(sizeof(wire::type) == sizeof(wire_1_1::type), "the size of " #type)
#define NPU_IPC_SAME_FIELD(type, field)                                           \
  static_assert(offsetof(wire::type, field) == offsetof(wire_1_1::type, field) && \
                    sizeof(wire::type::field) == sizeof(wire_1_1::type::field),   \
                #type "::" #field)
#define NPU_IPC_SAME_VALUE(type, name)                                                        \
  static_assert(                                                                              \
      static_cast<uint32_t>(wire::type::name) == static_cast<uint32_t>(wire_1_1::type::name), \
      #type "::" #name)

static_assert(wire::kVersionMajor == wire_1_1::kVersionMajor);
static_assert(wire::kVersionMinor >= wire_1_1::kVersionMinor);

NPU_IPC_SAME_VALUE(HandleKind, kIpcKey);
NPU_IPC_SAME_VALUE(HandleKind, kShareable);
NPU_IPC_SAME_VALUE(HandleKind, kFabric);
NPU_IPC_SAME_VALUE(HandleKind, kNotify);
NPU_IPC_SAME_VALUE(HandleKind, kEvent);

NPU_IPC_SAME_VALUE(Status, kOk);
NPU_IPC_SAME_VALUE(Status, kMalformed);
NPU_IPC_SAME_VALUE(Status, kVersionMismatch);
NPU_IPC_SAME_VALUE(Status, kNotInPod);
NPU_IPC_SAME_VALUE(Status, kUnknownPod);
NPU_IPC_SAME_VALUE(Status, kNoGroup);
NPU_IPC_SAME_VALUE(Status, kBadAnnotation);
NPU_IPC_SAME_VALUE(Status, kNotInGroup);
NPU_IPC_SAME_VALUE(Status, kRoleDenied);
NPU_IPC_SAME_VALUE(Status, kNameTaken);
NPU_IPC_SAME_VALUE(Status, kNotFound);
NPU_IPC_SAME_VALUE(Status, kTimedOut);
NPU_IPC_SAME_VALUE(Status, kExporterGone);
NPU_IPC_SAME_VALUE(Status, kExporterFailed);
NPU_IPC_SAME_VALUE(Status, kLimit);
NPU_IPC_SAME_VALUE(Status, kUnsupported);
NPU_IPC_SAME_VALUE(Status, kReconnect);
NPU_IPC_SAME_VALUE(Status, kShuttingDown);
NPU_IPC_SAME_VALUE(Status, kUnreachable);
NPU_IPC_SAME_VALUE(Status, kStillHeld);
NPU_IPC_SAME_VALUE(Status, kPeerLimit);
NPU_IPC_SAME_VALUE(Status, kInternal);
NPU_IPC_SAME_VALUE(Status, kPolicyDenied);
NPU_IPC_SAME_VALUE(Status, kNamespaceDenied);
NPU_IPC_SAME_VALUE(Status, kQuotaExceeded);
NPU_IPC_SAME_VALUE(Status, kClaimContradicted);

NPU_IPC_SAME_VALUE(MessageType, kHello);
NPU_IPC_SAME_VALUE(MessageType, kPublish);
NPU_IPC_SAME_VALUE(MessageType, kAttach);
NPU_IPC_SAME_VALUE(MessageType, kWithdraw);
NPU_IPC_SAME_VALUE(MessageType, kList);
NPU_IPC_SAME_VALUE(MessageType, kSubscribe);
NPU_IPC_SAME_VALUE(MessageType, kReclaimRegion);
NPU_IPC_SAME_VALUE(MessageType, kReclaimMapping);
NPU_IPC_SAME_VALUE(MessageType, kImported);
NPU_IPC_SAME_VALUE(MessageType, kDetached);
NPU_IPC_SAME_VALUE(MessageType, kAdmitted);
NPU_IPC_SAME_VALUE(MessageType, kUnsubscribe);
NPU_IPC_SAME_VALUE(MessageType, kPeerHeld);
NPU_IPC_SAME_VALUE(MessageType, kReclaimDone);
NPU_IPC_SAME_VALUE(MessageType, kRotated);
NPU_IPC_SAME_VALUE(MessageType, kClosed);
NPU_IPC_SAME_VALUE(MessageType, kWelcome);
NPU_IPC_SAME_VALUE(MessageType, kPublished);
NPU_IPC_SAME_VALUE(MessageType, kGrant);
NPU_IPC_SAME_VALUE(MessageType, kWithdrawn);
NPU_IPC_SAME_VALUE(MessageType, kRefused);
NPU_IPC_SAME_VALUE(MessageType, kListed);
NPU_IPC_SAME_VALUE(MessageType, kSubscribed);
NPU_IPC_SAME_VALUE(MessageType, kReclaimed);
NPU_IPC_SAME_VALUE(MessageType, kAdmit);
NPU_IPC_SAME_VALUE(MessageType, kWithdrawing);
NPU_IPC_SAME_VALUE(MessageType, kPeerRelease);
NPU_IPC_SAME_VALUE(MessageType, kRotate);
NPU_IPC_SAME_VALUE(MessageType, kRepublished);
NPU_IPC_SAME_VALUE(MessageType, kRegionChange);

NPU_IPC_SAME_VALUE(WithdrawReason, kWithdrawn);
NPU_IPC_SAME_VALUE(WithdrawReason, kExporterGone);
NPU_IPC_SAME_VALUE(WithdrawReason, kRevoked);
NPU_IPC_SAME_VALUE(WithdrawReason, kRotated);

NPU_IPC_SAME_VALUE(Change, kPublished);
NPU_IPC_SAME_VALUE(Change, kAdmitted);
NPU_IPC_SAME_VALUE(Change, kGone);

NPU_IPC_SAME_VALUE(RotateReason, kRevoked);
NPU_IPC_SAME_VALUE(RotateReason, kWhitelistFull);
NPU_IPC_SAME_VALUE(RotateReason, kTainted);

NPU_IPC_SAME_SIZE(MessageHeader);
NPU_IPC_SAME_FIELD(MessageHeader, version_major);
NPU_IPC_SAME_FIELD(MessageHeader, version_minor);
NPU_IPC_SAME_FIELD(MessageHeader, type);
NPU_IPC_SAME_FIELD(MessageHeader, bytes);
NPU_IPC_SAME_FIELD(MessageHeader, speaks_minor);
NPU_IPC_SAME_FIELD(MessageHeader, request_id);

NPU_IPC_SAME_SIZE(Hello);
NPU_IPC_SAME_FIELD(Hello, header);
NPU_IPC_SAME_FIELD(Hello, claimed_pid);
NPU_IPC_SAME_FIELD(Hello, claimed_bare_tgid);
NPU_IPC_SAME_FIELD(Hello, library_version);

NPU_IPC_SAME_SIZE(Welcome);
NPU_IPC_SAME_FIELD(Welcome, header);
NPU_IPC_SAME_FIELD(Welcome, host_pid);
NPU_IPC_SAME_FIELD(Welcome, group_count);
NPU_IPC_SAME_FIELD(Welcome, pod_namespace);
NPU_IPC_SAME_FIELD(Welcome, pod_name);
NPU_IPC_SAME_FIELD(Welcome, pod_uid);
NPU_IPC_SAME_FIELD(Welcome, container_id);
NPU_IPC_SAME_FIELD(Welcome, container_name);
NPU_IPC_SAME_FIELD(Welcome, groups);
NPU_IPC_SAME_FIELD(Welcome, broker_version);

NPU_IPC_SAME_SIZE(Publish);
NPU_IPC_SAME_FIELD(Publish, header);
NPU_IPC_SAME_FIELD(Publish, group);
NPU_IPC_SAME_FIELD(Publish, name);
NPU_IPC_SAME_FIELD(Publish, handle_kind);
NPU_IPC_SAME_FIELD(Publish, claimed_physical_device);
NPU_IPC_SAME_FIELD(Publish, handle);
NPU_IPC_SAME_FIELD(Publish, allocation_bytes);
NPU_IPC_SAME_FIELD(Publish, view_offset);
NPU_IPC_SAME_FIELD(Publish, view_bytes);

NPU_IPC_SAME_SIZE(Published);
NPU_IPC_SAME_FIELD(Published, header);
NPU_IPC_SAME_FIELD(Published, region_id);
NPU_IPC_SAME_FIELD(Published, generation);

NPU_IPC_SAME_SIZE(Attach);
NPU_IPC_SAME_FIELD(Attach, header);
NPU_IPC_SAME_FIELD(Attach, group);
NPU_IPC_SAME_FIELD(Attach, name);
NPU_IPC_SAME_FIELD(Attach, claimed_physical_device);
NPU_IPC_SAME_FIELD(Attach, wait_milliseconds);

NPU_IPC_SAME_SIZE(Admit);
NPU_IPC_SAME_FIELD(Admit, header);
NPU_IPC_SAME_FIELD(Admit, region_id);
NPU_IPC_SAME_FIELD(Admit, importer_host_pid);
NPU_IPC_SAME_FIELD(Admit, importer_physical_device);
NPU_IPC_SAME_FIELD(Admit, deadline_milliseconds);
NPU_IPC_SAME_FIELD(Admit, enable_peer_access);

NPU_IPC_SAME_SIZE(Admitted);
NPU_IPC_SAME_FIELD(Admitted, header);
NPU_IPC_SAME_FIELD(Admitted, region_id);
NPU_IPC_SAME_FIELD(Admitted, importer_host_pid);
NPU_IPC_SAME_FIELD(Admitted, status);
NPU_IPC_SAME_FIELD(Admitted, vendor_code);
NPU_IPC_SAME_FIELD(Admitted, importer_physical_device);

NPU_IPC_SAME_SIZE(Grant);
NPU_IPC_SAME_FIELD(Grant, header);
NPU_IPC_SAME_FIELD(Grant, grant_id);
NPU_IPC_SAME_FIELD(Grant, region_id);
NPU_IPC_SAME_FIELD(Grant, generation);
NPU_IPC_SAME_FIELD(Grant, allocation_bytes);
NPU_IPC_SAME_FIELD(Grant, view_offset);
NPU_IPC_SAME_FIELD(Grant, view_bytes);
NPU_IPC_SAME_FIELD(Grant, handle_kind);
NPU_IPC_SAME_FIELD(Grant, exporter_physical_device);
NPU_IPC_SAME_FIELD(Grant, exporter_host_pid);
NPU_IPC_SAME_FIELD(Grant, enable_peer_access);
NPU_IPC_SAME_FIELD(Grant, handle);
NPU_IPC_SAME_FIELD(Grant, exporter_namespace);
NPU_IPC_SAME_FIELD(Grant, exporter_pod);
NPU_IPC_SAME_FIELD(Grant, exporter_pod_uid);

NPU_IPC_SAME_SIZE(Imported);
NPU_IPC_SAME_FIELD(Imported, header);
NPU_IPC_SAME_FIELD(Imported, grant_id);
NPU_IPC_SAME_FIELD(Imported, status);
NPU_IPC_SAME_FIELD(Imported, vendor_code);

NPU_IPC_SAME_SIZE(Detached);
NPU_IPC_SAME_FIELD(Detached, header);
NPU_IPC_SAME_FIELD(Detached, grant_id);

NPU_IPC_SAME_SIZE(Withdraw);
NPU_IPC_SAME_FIELD(Withdraw, header);
NPU_IPC_SAME_FIELD(Withdraw, region_id);
NPU_IPC_SAME_FIELD(Withdraw, drain_milliseconds);
NPU_IPC_SAME_FIELD(Withdraw, reserved);

NPU_IPC_SAME_SIZE(Withdrawn);
NPU_IPC_SAME_FIELD(Withdrawn, header);
NPU_IPC_SAME_FIELD(Withdrawn, region_id);
NPU_IPC_SAME_FIELD(Withdrawn, status);
NPU_IPC_SAME_FIELD(Withdrawn, remaining);
NPU_IPC_SAME_FIELD(Withdrawn, holders);

NPU_IPC_SAME_SIZE(Withdrawing);
NPU_IPC_SAME_FIELD(Withdrawing, header);
NPU_IPC_SAME_FIELD(Withdrawing, grant_id);
NPU_IPC_SAME_FIELD(Withdrawing, reason);
NPU_IPC_SAME_FIELD(Withdrawing, drain_milliseconds);

NPU_IPC_SAME_SIZE(PeerRelease);
NPU_IPC_SAME_FIELD(PeerRelease, header);
NPU_IPC_SAME_FIELD(PeerRelease, own_physical_device);
NPU_IPC_SAME_FIELD(PeerRelease, peer_physical_device);

NPU_IPC_SAME_SIZE(Refused);
NPU_IPC_SAME_FIELD(Refused, header);
NPU_IPC_SAME_FIELD(Refused, status);
NPU_IPC_SAME_FIELD(Refused, vendor_code);
NPU_IPC_SAME_FIELD(Refused, reason);

NPU_IPC_SAME_SIZE(RegionDescription);
NPU_IPC_SAME_FIELD(RegionDescription, group);
NPU_IPC_SAME_FIELD(RegionDescription, name);
NPU_IPC_SAME_FIELD(RegionDescription, region_id);
NPU_IPC_SAME_FIELD(RegionDescription, generation);
NPU_IPC_SAME_FIELD(RegionDescription, allocation_bytes);
NPU_IPC_SAME_FIELD(RegionDescription, view_bytes);
NPU_IPC_SAME_FIELD(RegionDescription, exporter_physical_device);
NPU_IPC_SAME_FIELD(RegionDescription, exporter_host_pid);
NPU_IPC_SAME_FIELD(RegionDescription, importers);
NPU_IPC_SAME_FIELD(RegionDescription, reserved);
NPU_IPC_SAME_FIELD(RegionDescription, exporter_namespace);
NPU_IPC_SAME_FIELD(RegionDescription, exporter_pod);
NPU_IPC_SAME_FIELD(RegionDescription, exporter_pod_uid);

NPU_IPC_SAME_SIZE(List);
NPU_IPC_SAME_FIELD(List, header);
NPU_IPC_SAME_FIELD(List, group);
NPU_IPC_SAME_FIELD(List, prefix);
NPU_IPC_SAME_FIELD(List, after);

NPU_IPC_SAME_SIZE(Listed);
NPU_IPC_SAME_FIELD(Listed, header);
NPU_IPC_SAME_FIELD(Listed, found);
NPU_IPC_SAME_FIELD(Listed, reserved);
NPU_IPC_SAME_FIELD(Listed, region);

NPU_IPC_SAME_SIZE(Subscribe);
NPU_IPC_SAME_FIELD(Subscribe, header);
NPU_IPC_SAME_FIELD(Subscribe, group);
NPU_IPC_SAME_FIELD(Subscribe, prefix);
NPU_IPC_SAME_FIELD(Subscribe, claimed_physical_device);
NPU_IPC_SAME_FIELD(Subscribe, admit_ahead);

NPU_IPC_SAME_SIZE(Subscribed);
NPU_IPC_SAME_FIELD(Subscribed, header);
NPU_IPC_SAME_FIELD(Subscribed, subscription_id);

NPU_IPC_SAME_SIZE(Unsubscribe);
NPU_IPC_SAME_FIELD(Unsubscribe, header);
NPU_IPC_SAME_FIELD(Unsubscribe, subscription_id);

NPU_IPC_SAME_SIZE(RegionChange);
NPU_IPC_SAME_FIELD(RegionChange, header);
NPU_IPC_SAME_FIELD(RegionChange, subscription_id);
NPU_IPC_SAME_FIELD(RegionChange, change);
NPU_IPC_SAME_FIELD(RegionChange, reserved);
NPU_IPC_SAME_FIELD(RegionChange, region);

NPU_IPC_SAME_SIZE(ReclaimRegion);
NPU_IPC_SAME_FIELD(ReclaimRegion, header);
NPU_IPC_SAME_FIELD(ReclaimRegion, group);
NPU_IPC_SAME_FIELD(ReclaimRegion, name);
NPU_IPC_SAME_FIELD(ReclaimRegion, handle_kind);
NPU_IPC_SAME_FIELD(ReclaimRegion, claimed_physical_device);
NPU_IPC_SAME_FIELD(ReclaimRegion, handle);
NPU_IPC_SAME_FIELD(ReclaimRegion, allocation_bytes);
NPU_IPC_SAME_FIELD(ReclaimRegion, view_offset);
NPU_IPC_SAME_FIELD(ReclaimRegion, view_bytes);
NPU_IPC_SAME_FIELD(ReclaimRegion, generation);
NPU_IPC_SAME_FIELD(ReclaimRegion, whitelisted);
NPU_IPC_SAME_FIELD(ReclaimRegion, withdrawn);

NPU_IPC_SAME_SIZE(ReclaimMapping);
NPU_IPC_SAME_FIELD(ReclaimMapping, header);
NPU_IPC_SAME_FIELD(ReclaimMapping, group);
NPU_IPC_SAME_FIELD(ReclaimMapping, name);
NPU_IPC_SAME_FIELD(ReclaimMapping, generation);
NPU_IPC_SAME_FIELD(ReclaimMapping, allocation_bytes);
NPU_IPC_SAME_FIELD(ReclaimMapping, view_bytes);
NPU_IPC_SAME_FIELD(ReclaimMapping, exporter_host_pid);
NPU_IPC_SAME_FIELD(ReclaimMapping, exporter_physical_device);
NPU_IPC_SAME_FIELD(ReclaimMapping, claimed_physical_device);
NPU_IPC_SAME_FIELD(ReclaimMapping, enable_peer_access);
NPU_IPC_SAME_FIELD(ReclaimMapping, handle_kind);
NPU_IPC_SAME_FIELD(ReclaimMapping, reserved);
NPU_IPC_SAME_FIELD(ReclaimMapping, handle);
NPU_IPC_SAME_FIELD(ReclaimMapping, exporter_pod_uid);

NPU_IPC_SAME_SIZE(Reclaimed);
NPU_IPC_SAME_FIELD(Reclaimed, header);
NPU_IPC_SAME_FIELD(Reclaimed, grant_id);

NPU_IPC_SAME_SIZE(PeerHeld);
NPU_IPC_SAME_FIELD(PeerHeld, header);
NPU_IPC_SAME_FIELD(PeerHeld, own_physical_device);
NPU_IPC_SAME_FIELD(PeerHeld, peer_physical_device);

NPU_IPC_SAME_SIZE(ReclaimDone);
NPU_IPC_SAME_FIELD(ReclaimDone, header);

NPU_IPC_SAME_SIZE(Rotate);
NPU_IPC_SAME_FIELD(Rotate, header);
NPU_IPC_SAME_FIELD(Rotate, region_id);
NPU_IPC_SAME_FIELD(Rotate, reason);
NPU_IPC_SAME_FIELD(Rotate, deadline_milliseconds);

NPU_IPC_SAME_SIZE(Rotated);
NPU_IPC_SAME_FIELD(Rotated, header);
NPU_IPC_SAME_FIELD(Rotated, region_id);
NPU_IPC_SAME_FIELD(Rotated, status);
NPU_IPC_SAME_FIELD(Rotated, vendor_code);
NPU_IPC_SAME_FIELD(Rotated, handle);

NPU_IPC_SAME_SIZE(Republished);
NPU_IPC_SAME_FIELD(Republished, header);
NPU_IPC_SAME_FIELD(Republished, region_id);
NPU_IPC_SAME_FIELD(Republished, generation);

NPU_IPC_SAME_SIZE(Closed);
NPU_IPC_SAME_FIELD(Closed, header);
NPU_IPC_SAME_FIELD(Closed, region_id);

// The type of a message says since when there is one.
template <class Type>
constexpr bool SameMinors(Type first, Type last) {
  for (auto type = static_cast<uint32_t>(first); type <= static_cast<uint32_t>(last); ++type) {
    const uint16_t before = MinorOf(static_cast<Type>(type));
    if (before != 0 && wire::MinorOf(static_cast<wire::MessageType>(type)) != before) return false;
  }
  return true;
}
static_assert(SameMinors(wire_1_1::MessageType::kHello, wire_1_1::MessageType::kRegionChange));

}  // namespace npu_ipc
