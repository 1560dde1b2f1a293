// The brokers of a cluster's nodes, asked through kubectl.
#pragma once

#include <stdint.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "hal/base/result.h"
#include "plugin/kubectl/options.h"
#include "plugin/kubectl/process_pool.h"

namespace npu_ipc::kubectl {

inline constexpr char kDaemonSelector[] = "app.kubernetes.io/name=npu-ipc";
inline constexpr char kBrokerContainer[] = "npu-ipc-broker";
inline constexpr char kPluginContainer[] = "npu-device-plugin";

// The pod of npu-ipc's daemons on one node.
struct DaemonPod {
  std::string pod_namespace;
  std::string name;
  std::string node;
  std::string problem;  // why its broker cannot be asked; empty: it runs
  bool has_device_plugin = false;
  bool ready = true;  // by the broker's own account, at its /readyz
  int64_t http_port = 0;
};

struct NodeAnswer {
  DaemonPod daemon;
  nlohmann::json document;  // null where there is none
  std::string problem;      // why
};

// Who is asking, and where: authentication, contexts and the network are kubectl's. One thread.
class Fleet {
 public:
  explicit Fleet(const Options& options) : options_(options) {}

  // A call of kubectl: its global flags, then `arguments`.
  Command Call(const std::vector<std::string>& arguments) const;
  // Its output. kUnavailable with what it said on stderr where it failed.
  Result<std::string> CallForText(const std::vector<std::string>& arguments) const;
  Result<nlohmann::json> CallForJson(const std::vector<std::string>& arguments) const;

  // Those of --node, or of all nodes, by node. kNotFound where there is none.
  Result<std::vector<DaemonPod>> FindDaemons() const;

  // What each broker answers to `npu-ipc-broker query` with these arguments, in the order of
  // `daemons`; a few at a time.
  std::vector<NodeAnswer> Ask(const std::vector<DaemonPod>& daemons,
                              const std::vector<std::string>& query) const;

  // The namespace that -n names, or the context's.
  Result<std::string> Namespace() const;

  const Options& options() const { return options_; }

 private:
  const Options options_;
};

// What came back from one broker: a document of a version that this program reads, or why not.
Result<nlohmann::json> ReadDocument(const Outcome& outcome);

// Of a list of pods those that run a broker.
std::vector<DaemonPod> ReadDaemonPods(const nlohmann::json& pods);

}  // namespace npu_ipc::kubectl
