// ShareRegistry: what programs need that know nothing of it, and bring their keys to each other
// themselves (the preload library).

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_set>

#include "plugin/broker/share_registry.h"
#include "runtime/protocol/key_name.h"

namespace npu_ipc::broker {

using wire::MessageType;
using wire::Status;

// Whoever asks by a key is to get what has that key.
std::optional<Refusal> ShareRegistry::CheckKeyName(const wire::Publish& request) {
  const std::string_view name = Text(request.name);
  const bool of_a_key =
      name.size() + 1 == wire::kKeyNameBytes && name.starts_with(wire::kKeyNamePrefix) &&
      name.find_first_not_of("0123456789abcdef", std::size(wire::kKeyNamePrefix) - 1) ==
          std::string_view::npos;
  if (!of_a_key) return std::nullopt;
  const std::string_view key = KeyText(request.handle);
  char expected[wire::kKeyNameBytes];
  wire::MakeKeyName(key.data(), key.size(), expected);
  if (name == expected) return std::nullopt;
  return Refusal{Status::kClaimContradicted,
                 "region '" + std::string(name) +
                     "' has the name of another key: key- and 32 hexadecimal digits are for "
                     "memory that is known by its key"};
}

// Whether nobody has published it, and nobody who comes back after a restart is going to.
bool ShareRegistry::IsAbsent(const RegionName& name) const {
  return !hold_new_ && !names_.contains(name) && NameKeptFor(name) == nullptr &&
         clock_.Now() >= started_ + limits_.reclaim_window;
}

// Nothing is denied, and nobody is to hear of it: a key that nobody here has published is one that
// its program shares in a way of its own.
void ShareRegistry::TellAbsent(ClientId client, const RegionName& name, RequestId request_id) {
  Send(client, NewRefused(request_id,
                          {Status::kNotFound,
                           "no exporter on this node has published region '" + name.Text() + "'"},
                          Known(client).info.speaks_minor));
}

// Whether a process of the pod has published it: what it shares within its pod needs nobody's
// leave.
bool ShareRegistry::IsOfOwnPod(ClientId client, const RegionName& name) {
  const auto named = names_.find(name);
  return named != names_.end() &&
         Known(regions_.at(named->second).exporter).pod == Known(client).pod;
}

void ShareRegistry::TranslatePids(ClientId id, const std::vector<GroupKey>& groups,
                                  const wire::TranslatePids& request) {
  const Client& asking = Known(id);
  std::unordered_set<pid_t> host_pids;
  std::unordered_map<pid_t, std::unordered_set<pid_t>> by_own_pid;
  for (const auto& [uid, pod] : pods_) {
    const bool may_import =
        &pod == asking.pod || std::any_of(groups.begin(), groups.end(), [&](const GroupKey& group) {
          return !context_.CheckShare(asking.pod->uid, uid, group);
        });
    if (!may_import) continue;
    for (const ClientId member : pod.clients) {
      const ClientInfo& info = Known(member).info;
      if (info.process == asking.info.process) continue;
      host_pids.insert(info.process.pid);
      by_own_pid[info.own_pid].insert(info.process.pid);
    }
  }
  auto answer =
      NewMessage<wire::PidsTranslated>(MessageType::kPidsTranslated, request.header.request_id);
  answer.count = request.count;
  for (uint32_t i = 0; i < request.count; ++i) {
    const auto meant = by_own_pid.find(request.pids[i]);
    const bool one = meant != by_own_pid.end() && meant->second.size() == 1;
    answer.pids[i] =
        one && !host_pids.contains(request.pids[i]) ? *meant->second.begin() : request.pids[i];
  }
  Send(id, answer);
}

}  // namespace npu_ipc::broker
