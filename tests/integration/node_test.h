// What every integration test starts from: a simulated node of its own with the real daemons, and
// pods with npu-ipc-party in them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/fixtures/test_node.h"
#include "tests/integration/remote_party.h"

namespace npu_ipc {

inline constexpr size_t kRegionBytes = 4 << 20;

// Ends the program with a reason, and with it everything that the test has started.
[[noreturn]] void GiveUp(const std::string& why);

// main.cc runs it in a node box, with a cgroup of its own. What the test itself cannot do without
// (a pod that does not start) ends the program with a reason.
class NodeTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Where the node is to differ.
  virtual std::vector<std::string> BrokerFlags() const { return {}; }
  virtual std::vector<std::string> PluginFlags() const { return {}; }
  virtual size_t Replicas() const { return 1; }  // of each device, where the flags say so
  virtual std::map<std::string, std::string> ImageFiles() const { return {}; }

  TestNode& node() { return *node_; }

  // A pod of namespace team-a that the broker knows from now on. `group` is the value of its
  // npu-ipc.io/group annotation; empty: it has none.
  PodRecord NewPod(const std::string& name, const std::string& group);
  void TellBroker(const PodRecord& pod);
  // Changes an annotation of the party's pod, or takes it away; the broker sees it in a moment.
  void Annotate(const RemoteParty& party, const std::string& annotation, const std::string& value);
  // The broker knows the pod no longer.
  void DeletePod(const PodRecord& pod);

  // npu-ipc-party in a container of that pod, which was given the node's n-th device.
  RemoteParty Run(const PodRecord& pod, int device, const ContainerNamespaces& namespaces);
  // The same, with that device set as its own. It is not connected to the broker yet.
  RemoteParty Start(const PodRecord& pod, int device, const ContainerNamespaces& namespaces = {});
  // The same in a new pod, and connected.
  RemoteParty StartMember(const std::string& name, const std::string& group, int device);
  RemoteParty StartMember(const PodRecord& pod, int device);

  // A block of the pattern that starts with `first_word`, published under its name. Its generation.
  static uint64_t Publish(RemoteParty& exporter, const std::string& name, uint64_t first_word);

  // What Allocate answers for the node's n-th device.
  nlohmann::json Allocation(int device);

  // What a shell in a container of a new pod, with that allocation, prints, line by line.
  std::vector<std::string> RunShell(const nlohmann::json& allocation, const std::string& script);

  // Of the regions that the driver has: its audit files are named by them.
  std::vector<std::string> ExportedKeys();
  // Without those that are closed, which the driver keeps until their importers have closed them
  // too.
  std::vector<std::string> LiveKeys();
  // What it says of one; empty once it is gone.
  std::string AuditFile(const std::string& key);
  // The processes that it names: the key's creator first, then those on its whitelist.
  std::vector<int> AuditedPids(const std::string& key);

  // What the broker that writes to `log` answers at a path of its HTTP listener.
  std::string BrokerSays(const std::string& path, const std::string& log = "broker");
  // The value of a metric without labels; -1 where there is none.
  double Metric(const std::string& name);
  // Waits until it has that value.
  testing::AssertionResult MetricBecomes(const std::string& name, double value);

 private:
  std::unique_ptr<TestNode> node_;
  std::vector<PodRecord> pods_;
};

}  // namespace npu_ipc
