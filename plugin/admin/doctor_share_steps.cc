// The steps of doctor from what a pod asks for to memory that it has mapped.
#include <algorithm>

#include "plugin/admin/doctor_steps.h"

namespace npu_ipc::admin {
namespace {

using broker::MappingState;
using broker::ShareSnapshot;

bool MayImportAny(const pods::SharePolicy& policy) {
  return std::any_of(policy.groups.begin(), policy.groups.end(),
                     [](const auto& membership) { return pods::MayImport(membership.role); });
}

}  // namespace

Finding WhitelistedStep(const PodView& view) {
  if (!view.mappings.empty()) {
    return Ok("for " + Count(view.mappings.size(), "mapping"));
  }
  if (!view.regions.empty()) {
    size_t whitelisted = 0;
    for (const ShareSnapshot::Region* const region : view.regions) {
      whitelisted += region->whitelisted;
    }
    return Ok("exports " + Count(view.regions.size(), "region") + ", to which it let in " +
              Count(whitelisted, "process", "processes"));
  }
  if (!view.policy.ok() || view.processes.empty()) return Skipped("nothing is shared yet");
  size_t waiting = 0;
  for (const ShareSnapshot::Process* const process : view.processes) waiting += process->waiting;
  const size_t others = view.node.shares.regions.size();
  if (waiting > 0 && others == 0) {
    return Failed(Count(waiting, "attach waits", "attaches wait") +
                      ", and no exporter on this node has published in its groups",
                  "groups are of one node: see below where the other members are, and keep them "
                  "together with podAffinity");
  }
  if (waiting > 0) {
    return Failed(Count(waiting, "attach waits", "attaches wait") +
                      " for a region of another name, or for an exporter that does not answer" +
                      view.LastRefusal(),
                  "compare the names with `kubectl npu shares --node " + view.node.node + "`");
  }
  if (MayImportAny(*view.policy) && others == 0) {
    return Failed(
        "no exporter on this node has published anything in its groups" + view.LastRefusal(),
        "groups are of one node: see below where the other members are, and keep them "
        "together with podAffinity");
  }
  return Failed("it has neither published nor attached to anything" + view.LastRefusal(),
                "see that the program calls npu_ipc_publish() or npu_ipc_attach()");
}

Finding ImportedStep(const PodView& view) {
  if (view.mappings.empty()) {
    return Skipped(view.regions.empty() ? "nothing is mapped" : "an exporter maps nothing");
  }
  const auto count = [&](MappingState state) {
    return static_cast<size_t>(std::count_if(view.mappings.begin(), view.mappings.end(),
                                             [&](const auto* m) { return m->state == state; }));
  };
  const size_t imported = count(MappingState::kImported);
  const std::string text =
      std::to_string(imported) + " of " + Count(view.mappings.size(), "mapping") + " imported";
  if (const size_t revoked = count(MappingState::kRevoked); revoked > 0) {
    return Failed(text + ", " + std::to_string(revoked) + " revoked" + view.LastRefusal(),
                  "the program should detach; what it has mapped stays mapped until then");
  }
  if (const size_t dead = count(MappingState::kDead); dead > 0) {
    return Failed(text + ", " + std::to_string(dead) + " dead: their exporters have gone",
                  "the program should detach and attach again");
  }
  if (const size_t granted = count(MappingState::kGranted); granted > 0) {
    return Failed(text + ", " + std::to_string(granted) + " granted and not imported yet",
                  "where this lasts, the driver's import hangs or its program is stopped");
  }
  return Ok(text);
}

}  // namespace npu_ipc::admin
