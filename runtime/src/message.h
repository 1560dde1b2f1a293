// One message of the wire protocol, whichever it is.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "runtime/protocol/wire.h"

namespace npu_ipc::runtime {

union Message {
  wire::MessageHeader header;
  wire::Hello hello;
  wire::Welcome welcome;
  wire::Publish publish;
  wire::Published published;
  wire::Attach attach;
  wire::Grant grant;
  wire::Withdraw withdraw;
  wire::Withdrawn withdrawn;
  wire::Withdrawing withdrawing;
  wire::Admit admit;
  wire::PeerRelease peer_release;
  wire::Refused refused;
  wire::List list;
  wire::Listed listed;
  wire::Subscribe subscribe;
  wire::Subscribed subscribed;
  wire::RegionChange region_change;
  wire::ReclaimRegion reclaim_region;
  wire::ReclaimMapping reclaim_mapping;
  wire::Reclaimed reclaimed;
  wire::PeerHeld peer_held;
  wire::ReclaimDone reclaim_done;
  wire::Rotate rotate;
  wire::Republished republished;
  wire::TranslatePids translate_pids;
  wire::PidsTranslated pids_translated;
  wire::AskPolicy ask_policy;
  wire::PolicyTold policy_told;
  unsigned char bytes[wire::kMaxMessageBytes];
};
static_assert(sizeof(Message) == wire::kMaxMessageBytes);

// The header of a message of type T.
template <class T>
wire::MessageHeader MakeHeader(wire::MessageType type, uint64_t request_id) {
  return {wire::kVersionMajor, wire::MinorOf(type), type, sizeof(T), 0, request_id};
}

// Whether it answers a request: has the request's number, and not one of the broker's.
inline bool IsAnswer(const Message& message) {
  return message.header.type >= wire::MessageType::kWelcome &&
         message.header.type < wire::MessageType::kAdmit;
}

// What a packet from the broker is.
enum class Shape {
  kGood,       // of a type that we know, whole
  kUnknown,    // of our major version, of a type that we do not know: skip it
  kMalformed,  // anything else: the two ends do not understand each other
};

// Judges the packet in `message`, of which the kernel delivered `bytes` (more than the buffer holds
// when it was larger).
Shape ExamineMessage(const Message& message, size_t bytes);

}  // namespace npu_ipc::runtime
