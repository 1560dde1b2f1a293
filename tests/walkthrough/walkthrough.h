// The main job from end to end, told to a person and checked at every step.
#pragma once

#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

#include "hal/base/result.h"
#include "tests/fixtures/test_node.h"
#include "tests/walkthrough/narrator.h"

namespace npu_ipc {

struct WalkthroughOptions {
  std::string node = "910b";
  uint64_t bytes = 1u << 30;
  bool verbose = false;  // show what Allocate answered
  std::string cgroup;
};

// Each step returns the reason where something is not as it should be; the steps after it are then
// not taken.
class Walkthrough {
 public:
  explicit Walkthrough(WalkthroughOptions options);

  Status Run();
  // The daemons' logs, for when it failed.
  std::string Logs() const;

 private:
  struct Pod {
    PodRecord record;
    std::string device_id;
    nlohmann::json allocation;
    std::unique_ptr<Container> container;
    pid_t host_pid = 0;  // as the broker resolved it
  };

  Status StartNode();
  Status ShowDevices();
  Status Allocate();
  Status AllocateFor(Pod& pod, const std::string& device_id);
  Status StartPods();
  Status Identify(Pod& pod);
  Status CheckIsolation();
  Status Publish();
  Status Attach();
  Status CheckZeroCopy(uint64_t shared_memory_before);
  Status ExchangePatterns();
  Status CloseInOrder();
  Status RefuseTheStranger();

  Result<std::string> Next(Pod& pod, const std::string& expected);
  Status Press(Pod& pod);

  WalkthroughOptions options_;
  Narrator narrator_;
  std::unique_ptr<TestNode> node_;
  std::vector<std::string> device_ids_;
  Pod exporter_;
  Pod importer_;
  Pod stranger_;
};

}  // namespace npu_ipc
