#include "hal/sim/libruntime/peer_access.h"

#include "hal/sim/libruntime/driver.h"

namespace npu_ipc::sim {
namespace {

// dcmi_interface_api.h, DCMI_TOPO_TYPE
constexpr uint32_t kHccs = 3;
constexpr uint32_t kPix = 5;
constexpr uint32_t kSio = 6;
constexpr uint32_t kHccsSwitch = 7;
constexpr uint32_t kUb = 8;

RtResult<DriverReply> Ask(Operation operation, uint32_t device, uint32_t peer, const char* what) {
  Request request = {};
  request.operation = operation;
  request.device = device;
  request.peer = peer;
  return CallDriver(request, std::string(what) + " device " + std::to_string(device) +
                                 " and device " + std::to_string(peer));
}

}  // namespace

RtStatus EnablePeerAccess(uint32_t device, uint32_t peer) {
  return Ask(Operation::kEnablePeer, device, peer, "enabling peer access between").status();
}

RtStatus DisablePeerAccess(uint32_t device, uint32_t peer) {
  return Ask(Operation::kDisablePeer, device, peer, "disabling peer access between").status();
}

RtResult<bool> PeerAccessIsEnabled(uint32_t device, uint32_t peer) {
  RtResult<DriverReply> answer =
      Ask(Operation::kPeerStatus, device, peer, "asking about peer access between");
  if (!answer.ok()) return answer.status();
  return answer->reply.value32 == 1;
}

RtResult<uint32_t> LinkBetween(uint32_t device, uint32_t peer) {
  RtResult<DriverReply> answer =
      Ask(Operation::kDeviceLink, device, peer, "asking about the link between");
  if (!answer.ok()) return answer.status();
  return answer->reply.value32;
}

bool LinkCarriesMemory(uint32_t link) {
  return link == kHccs || link == kPix || link == kSio || link == kHccsSwitch || link == kUb;
}

}  // namespace npu_ipc::sim
