// Access between devices. Both ends are physical ids; the driver need not let this process see the
// peer. Each call is the driver's to decide.
#pragma once

#include <stdint.h>

#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

// 207001: 32 processes have this direction already.
RtStatus EnablePeerAccess(uint32_t device, uint32_t peer);
RtStatus DisablePeerAccess(uint32_t device, uint32_t peer);
// Whether both directions are requested, by any process.
RtResult<bool> PeerAccessIsEnabled(uint32_t device, uint32_t peer);
// DCMI's topology number of the link (DCMI_TOPO_TYPE_...).
RtResult<uint32_t> LinkBetween(uint32_t device, uint32_t peer);
// Whether memory is reached over a link of that number: HCCS, HCCS_SW, SIO and UB.
bool LinkCarriesMemory(uint32_t link);

}  // namespace npu_ipc::sim
