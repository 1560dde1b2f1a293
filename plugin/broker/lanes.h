// Whose turn it is to be heard: one packet for each pod that has something to say, then the next
// round. And what each pod's connections use together.
#pragma once

#include <stddef.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "plugin/broker/line_limit.h"

namespace npu_ipc::broker {

// A pod's connections, however many processes open them.
struct Lane {
  // What waits for a turn.
  class Speaker {
   public:
    virtual ~Speaker() = default;
    virtual void TakeTurn() = 0;

   private:
    friend class Lanes;
    bool waits_ = false;
  };

  std::deque<Speaker*> waiting;
  size_t connections = 0;
  size_t queued_bytes = 0;  // that its clients have not read
  LineLimit refusal_lines;
  LineLimit connection_lines{200};  // a line each for a process of every rank, and their ends
};

// Not thread safe. A round gives each lane one turn, so that whoever asks little is heard as soon
// when another pod floods over a hundred connections as when it does over one.
class Lanes {
 public:
  // `run_soon` makes RunRound() be called when all that is ready now has been noted.
  explicit Lanes(std::function<void()> run_soon) : run_soon_(std::move(run_soon)) {}

  // The lane of a pod, as long as somebody holds it.
  std::shared_ptr<Lane> Of(const std::string& pod_uid);

  // `speaker` has something to say. Does nothing while it waits already. It must be taken off
  // before it is destroyed.
  void Wait(const std::shared_ptr<Lane>& lane, Lane::Speaker& speaker);
  void TakeOff(Lane& lane, Lane::Speaker& speaker);

  // One turn for each lane in which somebody waits. Speakers may wait again, and come and go.
  void RunRound();

 private:
  void RunSoon();

  const std::function<void()> run_soon_;
  bool runs_soon_ = false;
  std::unordered_map<std::string, std::weak_ptr<Lane>> lanes_;
  size_t sweep_at_ = 64;
  std::deque<std::shared_ptr<Lane>> waiting_;  // each once, unless all its speakers were taken off
};

}  // namespace npu_ipc::broker
