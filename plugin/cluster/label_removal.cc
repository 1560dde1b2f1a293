#include "plugin/cluster/label_removal.h"

#include <stdio.h>

#include <optional>

#include <CLI/CLI.hpp>

#include "plugin/cluster/kubeconfig.h"
#include "plugin/cluster/listing.h"
#include "plugin/cluster/node_labeler.h"

namespace npu_ipc::cluster {
namespace {

constexpr char kCommand[] = "npu-ipc-broker remove-node-labels";
constexpr int kExitUsage = 2;

int Fail(const std::string& message) {
  fprintf(stderr, "%s: %s\n", kCommand, message.c_str());
  return 1;
}

}  // namespace

Result<LabelRemoval> RemoveNodeLabels(ApiClient& client, const std::string& field_manager) {
  ListOptions options;
  options.left_out = MemberFilter({"spec", "status"});
  const Listing nodes = client.List({kNodes, "", ""}, options);
  if (!nodes.reply.ok()) return nodes.reply.status;
  LabelRemoval removal;
  for (const Json& node : nodes.items) {
    ++removal.nodes;
    const std::optional<Json> patch = LabelPatch(node, {}, field_manager);
    if (!patch) continue;
    const std::string name = FindText(node, {"metadata", "name"});
    const Reply reply = client.Patch({kNodes, "", name},
                                     {PatchType::kApply, field_manager, /*force=*/true}, *patch);
    if (reply.ok()) {
      ++removal.cleaned;
    } else if (reply.status.code() != StatusCode::kNotFound) {
      if (removal.failed++ == 0) removal.problem = reply.status.message();
    }
  }
  return removal;
}

int RunRemoveNodeLabels(int argc, const char* const* argv) {
  CLI::App app("Takes the labels off all nodes that npu-ipc-broker has set there.", kCommand);
  std::string kubeconfig;
  app.add_option("--kubeconfig", kubeconfig, "how to reach the API server; default: as a pod does");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  Result<ClusterConfig> config =
      kubeconfig.empty() ? InClusterConfig() : LoadKubeconfig(kubeconfig);
  if (!config.ok()) return Fail(config.status().message());
  ApiClient client(std::move(*config));
  const Result<LabelRemoval> removal = RemoveNodeLabels(client, NodeLabelerOptions().field_manager);
  if (!removal.ok()) return Fail(removal.status().message());
  printf("%zu of %zu nodes had labels of npu-ipc-broker\n", removal->cleaned + removal->failed,
         removal->nodes);
  if (removal->failed == 0) return 0;
  return Fail("on " + std::to_string(removal->failed) +
              " of them they are still: " + removal->problem);
}

}  // namespace npu_ipc::cluster
