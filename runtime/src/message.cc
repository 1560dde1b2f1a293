#include "runtime/src/message.h"

#include "runtime/src/text.h"

namespace npu_ipc::runtime {
namespace {

// Bytes of a message of `type` that a broker may send; 0 for others.
size_t ExpectedBytes(wire::MessageType type) {
  switch (type) {
    case wire::MessageType::kWelcome:
      return sizeof(wire::Welcome);
    case wire::MessageType::kPublished:
      return sizeof(wire::Published);
    case wire::MessageType::kGrant:
      return sizeof(wire::Grant);
    case wire::MessageType::kWithdrawn:
      return sizeof(wire::Withdrawn);
    case wire::MessageType::kRefused:
      return sizeof(wire::Refused);
    case wire::MessageType::kAdmit:
      return sizeof(wire::Admit);
    case wire::MessageType::kWithdrawing:
      return sizeof(wire::Withdrawing);
    case wire::MessageType::kPeerRelease:
      return sizeof(wire::PeerRelease);
    case wire::MessageType::kListed:
      return sizeof(wire::Listed);
    case wire::MessageType::kSubscribed:
      return sizeof(wire::Subscribed);
    case wire::MessageType::kReclaimed:
      return sizeof(wire::Reclaimed);
    case wire::MessageType::kRotate:
      return sizeof(wire::Rotate);
    case wire::MessageType::kRepublished:
      return sizeof(wire::Republished);
    case wire::MessageType::kRegionChange:
      return sizeof(wire::RegionChange);
    case wire::MessageType::kPidsTranslated:
      return sizeof(wire::PidsTranslated);
    case wire::MessageType::kPolicyTold:
      return sizeof(wire::PolicyTold);
    default:
      return 0;
  }
}

bool TextsTerminated(const wire::RegionDescription& region) {
  return Terminated(region.group) && Terminated(region.name) &&
         Terminated(region.exporter_namespace) && Terminated(region.exporter_pod) &&
         Terminated(region.exporter_pod_uid);
}

bool TextsTerminated(const Message& message) {
  switch (message.header.type) {
    case wire::MessageType::kWelcome: {
      const wire::Welcome& welcome = message.welcome;
      return Terminated(welcome.pod_namespace) && Terminated(welcome.pod_name) &&
             Terminated(welcome.pod_uid) && Terminated(welcome.container_id) &&
             Terminated(welcome.container_name) && Terminated(welcome.groups) &&
             Terminated(welcome.broker_version);
    }
    case wire::MessageType::kGrant: {
      const wire::Grant& grant = message.grant;
      return Terminated(grant.exporter_namespace) && Terminated(grant.exporter_pod) &&
             Terminated(grant.exporter_pod_uid);
    }
    case wire::MessageType::kWithdrawn:
      return Terminated(message.withdrawn.holders);
    case wire::MessageType::kRefused:
      return Terminated(message.refused.reason);
    case wire::MessageType::kListed:
      return TextsTerminated(message.listed.region);
    case wire::MessageType::kRegionChange:
      return TextsTerminated(message.region_change.region);
    default:
      return true;
  }
}

}  // namespace

Shape ExamineMessage(const Message& message, size_t bytes) {
  if (bytes < sizeof(wire::MessageHeader) || bytes > sizeof(Message)) return Shape::kMalformed;
  const wire::MessageHeader& header = message.header;
  // A refusal may tell us that we are of another major version.
  if (header.version_major != wire::kVersionMajor && header.type != wire::MessageType::kRefused) {
    return Shape::kMalformed;
  }
  if (header.bytes != bytes) return Shape::kMalformed;
  const size_t expected = ExpectedBytes(header.type);
  if (expected == 0) return Shape::kUnknown;
  return expected == bytes && TextsTerminated(message) ? Shape::kGood : Shape::kMalformed;
}

}  // namespace npu_ipc::runtime
