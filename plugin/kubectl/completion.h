// Completion on the command line, by itself and through kubectl.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "hal/base/result.h"

namespace npu_ipc::kubectl {

// What may follow: `words` are those after "kubectl npu", the last of which is being written (and
// may be empty). `list_pods` and `list_nodes` ask the cluster, where that is what is wanted.
std::vector<std::string> Complete(const std::vector<std::string>& words,
                                  const std::function<std::vector<std::string>()>& list_pods,
                                  const std::function<std::vector<std::string>()>& list_nodes);

// The same as kubectl wants it of `kubectl_complete-npu`: a candidate a line, then cobra's
// directive (4: no file names).
std::string FormatCompletion(const std::vector<std::string>& candidates);

// A script for that shell's own completion of `kubectl-npu`. kInvalidArgument names the shells.
Result<std::string> CompletionScript(const std::string& shell);

}  // namespace npu_ipc::kubectl
