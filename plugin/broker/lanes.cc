#include "plugin/broker/lanes.h"

#include <algorithm>

namespace npu_ipc::broker {

std::shared_ptr<Lane> Lanes::Of(const std::string& pod_uid) {
  std::weak_ptr<Lane>& known = lanes_[pod_uid];
  if (std::shared_ptr<Lane> lane = known.lock()) return lane;
  auto lane = std::make_shared<Lane>();
  known = lane;
  // Those of pods that are gone: looked for when there may be as many as there are others.
  if (lanes_.size() >= sweep_at_) {
    std::erase_if(lanes_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<size_t>(64, 2 * lanes_.size());
  }
  return lane;
}

void Lanes::Wait(const std::shared_ptr<Lane>& lane, Lane::Speaker& speaker) {
  if (speaker.waits_) return;
  speaker.waits_ = true;
  lane->waiting.push_back(&speaker);
  if (lane->waiting.size() == 1) waiting_.push_back(lane);
  RunSoon();
}

void Lanes::RunSoon() {
  if (runs_soon_) return;
  runs_soon_ = true;
  run_soon_();
}

void Lanes::TakeOff(Lane& lane, Lane::Speaker& speaker) {
  if (!speaker.waits_) return;
  speaker.waits_ = false;
  std::erase(lane.waiting, &speaker);
  if (!lane.waiting.empty()) return;
  std::erase_if(waiting_, [&](const auto& waiting) { return waiting.get() == &lane; });
}

void Lanes::RunRound() {
  runs_soon_ = false;
  for (size_t turns = waiting_.size(); turns > 0 && !waiting_.empty(); --turns) {
    const std::shared_ptr<Lane> lane = std::move(waiting_.front());
    waiting_.pop_front();
    Lane::Speaker& speaker = *lane->waiting.front();
    lane->waiting.pop_front();
    speaker.waits_ = false;
    if (!lane->waiting.empty()) waiting_.push_back(lane);
    speaker.TakeTurn();
  }
  if (!waiting_.empty()) RunSoon();
}

}  // namespace npu_ipc::broker
