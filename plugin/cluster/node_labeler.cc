#include "plugin/cluster/node_labeler.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "plugin/cluster/reply.h"

namespace npu_ipc::cluster {
namespace {

constexpr size_t kMaxLabelCharacters = 63;

bool Alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// As a label's name, and as its value, which may also be empty.
bool ValidLabelText(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLabelCharacters && Alphanumeric(text.front()) &&
         Alphanumeric(text.back()) && std::all_of(text.begin(), text.end(), [](char c) {
           return Alphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

// Whether `node` records that `field_manager` applied exactly the keys of `labels`.
bool AppliedExactly(const Json& node, const Labels& labels, const std::string& field_manager) {
  const Json* entries = Find(node, {"metadata", "managedFields"});
  if (entries == nullptr || !entries->is_array()) return labels.empty();
  for (const Json& entry : *entries) {
    if (FindText(entry, {"manager"}) != field_manager ||
        FindText(entry, {"operation"}) != "Apply" || Find(entry, {"subresource"}) != nullptr) {
      continue;
    }
    const Json* fields = Find(entry, {"fieldsV1", "f:metadata", "f:labels"});
    if (fields == nullptr) return labels.empty();
    return fields->size() == labels.size() &&
           std::all_of(labels.begin(), labels.end(),
                       [&](const auto& label) { return fields->contains("f:" + label.first); });
  }
  return labels.empty();
}

}  // namespace

Status CheckLabels(const Labels& labels) {
  const std::string_view prefix = kLabelPrefix;
  for (const auto& [key, value] : labels) {
    if (!key.starts_with(prefix) || !ValidLabelText(std::string_view(key).substr(prefix.size()))) {
      return {StatusCode::kInvalidArgument,
              "label '" + key + "' is not " + kLabelPrefix + "NAME, of at most 63 characters"};
    }
    if (!value.empty() && !ValidLabelText(value)) {
      return {StatusCode::kInvalidArgument,
              "label " + key + ": '" + value + "' is no label value ([A-Za-z0-9-_.], at most 63)"};
    }
  }
  return Status::Ok();
}

std::optional<Json> LabelPatch(const Json& node, const Labels& labels,
                               const std::string& field_manager) {
  const bool same_values = std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
    const Json* value = Find(node, {"metadata", "labels", label.first.c_str()});
    return value != nullptr && *value == label.second;
  });
  if (same_values && AppliedExactly(node, labels, field_manager)) return std::nullopt;
  // With the uid: where the node is another by now, this is refused and not put on that one.
  return Json{{"apiVersion", "v1"},
              {"kind", "Node"},
              {"metadata",
               {{"name", FindText(node, {"metadata", "name"})},
                {"uid", FindText(node, {"metadata", "uid"})},
                {"labels", labels}}}};
}

NodeLabeler::NodeLabeler(ApiClient& client, std::string node_name, NodeLabelerOptions options)
    : client_(client),
      node_{kNodes, "", std::move(node_name)},
      options_(std::move(options)),
      backoff_(options_.backoff, options_.random),
      worker_([this](Canceller& canceller) { return Step(canceller); }) {}

Status NodeLabeler::SetLabels(Labels labels) {
  if (Status status = CheckLabels(labels); !status.ok()) return status;
  const std::lock_guard lock(mutex_);
  wanted_ = std::move(labels);
  ++wanted_number_;
  state_.current = false;
  worker_.Wake();
  return Status::Ok();
}

NodeLabelerState NodeLabeler::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::optional<TimePoint> NodeLabeler::Step(Canceller& canceller) {
  Labels labels;
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    const bool time_to_look = look_again_ && *look_again_ <= SystemClock().Now();
    if (wanted_number_ == written_number_ && !time_to_look) return look_again_;
    labels = wanted_;
    number = wanted_number_;
  }
  Duration retry_after = Duration::zero();
  const Status status = Write(labels, canceller, &retry_after);
  if (canceller.cancelled()) return std::nullopt;
  Finish(status, number);
  if (status.ok()) {
    backoff_.Reset();
    look_again_ = SystemClock().Now() + options_.look_again;
    return look_again_;
  }
  options_.pause(canceller, std::max(backoff_.Next(), retry_after));
  return SystemClock().Now();
}

Status NodeLabeler::Write(const Labels& labels, Canceller& canceller, Duration* retry_after) {
  const CallOptions call{options_.call_timeout, &canceller};
  Reply reply = client_.Get(node_, call);
  if (reply.ok()) {
    const std::optional<Json> patch = LabelPatch(reply.body, labels, options_.field_manager);
    if (!patch) return Status::Ok();
    // By force: whoever else sets our labels is mistaken about this node.
    reply = client_.Patch(node_, {PatchType::kApply, options_.field_manager, /*force=*/true},
                          *patch, call);
    if (reply.ok()) {
      spdlog::info("labelled the node: node={} labels={}", node_.name, labels.size());
      const std::lock_guard lock(mutex_);
      ++state_.patches;
    }
  }
  *retry_after = reply.retry_after.value_or(Duration::zero());
  return reply.status;
}

std::string NodeLabeler::Problem(const Status& status) const {
  const bool maybe_of_the_name =
      status.code() == StatusCode::kPermissionDenied || status.code() == StatusCode::kNotFound;
  if (!maybe_of_the_name) return status.message();
  return status.message() + "; is '" + node_.name +
         "', which node.name says, the node that this runs on?";
}

void NodeLabeler::Finish(const Status& status, uint64_t number) {
  const std::lock_guard lock(mutex_);
  if (!status.ok()) {
    std::string problem = Problem(status);
    if (state_.problem != problem) spdlog::warn("cannot label the node: {}", problem);
    state_.problem = std::move(problem);
    return;
  }
  state_.problem.clear();
  written_number_ = number;
  state_.current = written_number_ == wanted_number_;
}

}  // namespace npu_ipc::cluster
