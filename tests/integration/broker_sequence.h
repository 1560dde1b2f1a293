// Brokers one after another, at one socket.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace npu_ipc {

// Runs a broker; each one that is killed is followed by the next at once. Used by one thread.
class BrokerSequence {
 public:
  // `command` is the broker's. The first brokers kill themselves (kill_after.cc) after as many
  // packets as `kill_after` has for them; the one after these runs on. Their logs are added to
  // `log_file`.
  BrokerSequence(std::vector<std::string> command, std::vector<int> kill_after,
                 std::string log_file);
  // Kills the last one.
  ~BrokerSequence();
  BrokerSequence(const BrokerSequence&) = delete;
  BrokerSequence& operator=(const BrokerSequence&) = delete;

  // How many have been killed so far.
  int killed() const { return killed_.load(); }

 private:
  void Run();

  const std::vector<std::string> command_;
  const std::vector<int> kill_after_;
  const std::string log_file_;
  std::atomic<int> killed_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace npu_ipc
