#include "runtime/src/reclaim.h"

#include "runtime/src/client.h"
#include "runtime/src/raw_log.h"

namespace npu_ipc::runtime {
namespace {

// Marks the request ids of claims: their answers are not for a caller.
constexpr uint64_t kClaimBit = uint64_t{1} << 63;

// Sent before the answers are looked at, which must not pile up at the broker.
constexpr int kBatch = 32;

}  // namespace

void Reclaimer::Begin(Connection* connection, uint64_t connection_id) {
  connection_id_ = connection_id;
  phase_ = Phase::kNothing;
  has_unsent_ = false;
  unanswered_ = 0;
  peer_index_ = 0;
  bool something_lost = false;
  {
    MutexLock lock(client_->mutex_);
    if (client_->connection_ != connection) return;  // lost again
    something_lost = client_->something_lost_;
    client_->something_lost_ = false;
    if (something_lost && connection->broker_minor() < 1) {
      client_->exporter_.LoseAll();  // it cannot be told
      client_->events_.Push(&client_->connection_event_, NPU_IPC_EVENT_RECONNECTED);
    }
  }
  client_->AnnounceEvent();
  client_->changed_.Announce();
  if (something_lost && connection->broker_minor() >= 1) phase_ = Phase::kPeers;
}

bool Reclaimer::Compose() {
  const uint64_t request_id = kClaimBit | client_->NextRequestId();
  switch (phase_) {
    case Phase::kPeers: {
      wire::PeerHeld& held = unsent_.peer_held;
      held = {};
      held.header = MakeHeader<wire::PeerHeld>(wire::MessageType::kPeerHeld, 0);
      if (client_->process().peers.PairAt(client_->id(), peer_index_++, &held.own_physical_device,
                                          &held.peer_physical_device)) {
        return true;
      }
      phase_ = Phase::kRegions;
      [[fallthrough]];
    }
    case Phase::kRegions:
      if (client_->exporter().NextClaim(connection_id_, request_id, &unsent_)) {
        ++unanswered_;
        return true;
      }
      phase_ = Phase::kMappings;
      [[fallthrough]];
    case Phase::kMappings:
      if (client_->importer().NextClaim(connection_id_, request_id, &unsent_.reclaim_mapping)) {
        ++unanswered_;
        return true;
      }
      phase_ = Phase::kDone;
      unsent_.reclaim_done = {};
      unsent_.reclaim_done.header =
          MakeHeader<wire::ReclaimDone>(wire::MessageType::kReclaimDone, 0);
      return true;
    default:
      return false;
  }
}

void Reclaimer::Step(Connection* connection, uint64_t connection_id) {
  if (connection_id != connection_id_) Begin(connection, connection_id);
  for (int sent = 0; sent < kBatch; ++sent) {
    if (!has_unsent_) has_unsent_ = Compose();
    if (!has_unsent_) return;
    const npu_ipc_status status =
        connection->Send(&unsent_, unsent_.header.bytes, Deadline::After(0));
    if (status == NPU_IPC_TIMED_OUT) return;
    has_unsent_ = false;
    if (status != NPU_IPC_OK) return client_->LoseConnection(connection, status);
    FinishIfAnswered();
  }
}

bool Reclaimer::Answered(const Message& message, uint64_t connection_id) {
  const uint64_t request_id = message.header.request_id;
  if ((request_id & kClaimBit) == 0) return false;
  switch (message.header.type) {
    case wire::MessageType::kPublished:
      client_->exporter().Reclaimed(message.published, connection_id);
      break;
    case wire::MessageType::kReclaimed:
      client_->importer().Reclaimed(message.reclaimed, connection_id);
      break;
    case wire::MessageType::kRefused:
      // A mapping goes on whether or not the broker wants to know of it.
      client_->exporter().ClaimRefused(request_id, connection_id);
      if (RawLogEnabled()) RawLog(Text("a claim was refused: ").Append(message.refused.reason));
      break;
    default:
      return false;
  }
  if (unanswered_ > 0) --unanswered_;
  FinishIfAnswered();
  return true;
}

void Reclaimer::FinishIfAnswered() {
  if (phase_ != Phase::kDone || unanswered_ > 0 || has_unsent_) return;
  phase_ = Phase::kNothing;
  {
    MutexLock lock(client_->mutex_);
    client_->events_.Push(&client_->connection_event_, NPU_IPC_EVENT_RECONNECTED);
  }
  client_->AnnounceEvent();
  RawLog(Text("connected again; the broker knows what this process holds"));
}

}  // namespace npu_ipc::runtime
