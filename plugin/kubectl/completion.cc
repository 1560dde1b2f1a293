#include "plugin/kubectl/completion.h"

#include <algorithm>

#include "plugin/kubectl/options.h"

namespace npu_ipc::kubectl {
namespace {

constexpr char kBash[] = R"sh(# bash completion for kubectl-npu
_kubectl_npu() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    [[ $line == :* ]] || COMPREPLY+=("$line")
  done < <(kubectl-npu __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _kubectl_npu kubectl-npu
)sh";

// clang-format off: it takes this for C++.
constexpr char kZsh[] = R"sh(#compdef kubectl-npu
_kubectl_npu() {
  local -a candidates
  candidates=(${(f)"$(kubectl-npu __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  compadd -- ${candidates:#:*}
}
compdef _kubectl_npu kubectl-npu
)sh";
// clang-format on

constexpr char kFish[] = R"sh(# fish completion for kubectl-npu
function __kubectl_npu_complete
    set -l words (commandline -opc) (commandline -ct)
    kubectl-npu __complete $words[2..-1] 2>/dev/null | string match -v ':*'
end
complete -c kubectl-npu -f -a '(__kubectl_npu_complete)'
)sh";

std::vector<std::string> CommandNames() {
  std::vector<std::string> names;
  for (const CommandInfo& command : Commands()) names.emplace_back(command.name);
  return names;
}

// The command among the words before the last; empty: there is none yet.
std::string CommandOf(const std::vector<std::string>& words) {
  const std::vector<std::string> names = CommandNames();
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (std::find(names.begin(), names.end(), words[i]) != names.end()) return words[i];
  }
  return "";
}

}  // namespace

std::vector<std::string> Complete(const std::vector<std::string>& words,
                                  const std::function<std::vector<std::string>()>& list_pods,
                                  const std::function<std::vector<std::string>()>& list_nodes) {
  const std::string last = words.empty() ? "" : words.back();
  const std::string before = words.size() < 2 ? "" : words[words.size() - 2];
  const std::string command = CommandOf(words);
  std::vector<std::string> candidates;
  if (before == "-o" || before == "--output") {
    candidates = {"json", "wide", "yaml"};
  } else if (before == "--node") {
    candidates = list_nodes();
  } else if (last.starts_with("-")) {
    candidates = FlagNames();
  } else if (command.empty()) {
    candidates = CommandNames();
  } else if (command == "doctor") {
    candidates = list_pods();
  } else if (command == "completion") {
    candidates = {"bash", "fish", "zsh"};
  }
  std::erase_if(candidates, [&](const std::string& word) { return !word.starts_with(last); });
  return candidates;
}

std::string FormatCompletion(const std::vector<std::string>& candidates) {
  std::string text;
  for (const std::string& candidate : candidates) text += candidate + "\n";
  return text + ":4\n";
}

Result<std::string> CompletionScript(const std::string& shell) {
  if (shell == "bash") return std::string(kBash);
  if (shell == "zsh") return std::string(kZsh);
  if (shell == "fish") return std::string(kFish);
  return Status(StatusCode::kInvalidArgument,
                "completion is there for bash, zsh and fish, not for \"" + shell + "\"");
}

}  // namespace npu_ipc::kubectl
