#include "plugin/admin/request.h"

#include <array>

#include <nlohmann/json.hpp>

namespace npu_ipc::admin {
namespace {

using Json = nlohmann::json;

constexpr std::array kTopics = {Topic::kVersion, Topic::kShares, Topic::kPods,  Topic::kDevices,
                                Topic::kAudit,   Topic::kDoctor, Topic::kEvents};

Status Invalid(const std::string& what) { return {StatusCode::kInvalidArgument, what}; }

Result<Topic> ParseTopic(const std::string& name) {
  for (const Topic topic : kTopics) {
    if (TopicName(topic) == name) return topic;
  }
  return Invalid("unknown topic '" + name + "'; known are " + TopicNames());
}

}  // namespace

std::string_view TopicName(Topic topic) {
  switch (topic) {
    case Topic::kVersion:
      return "version";
    case Topic::kShares:
      return "shares";
    case Topic::kPods:
      return "pods";
    case Topic::kDevices:
      return "devices";
    case Topic::kAudit:
      return "audit";
    case Topic::kDoctor:
      return "doctor";
    case Topic::kEvents:
      return "events";
  }
  return "";
}

std::string TopicNames() {
  std::string names;
  for (const Topic topic : kTopics) {
    names += (names.empty() ? "" : ", ") + std::string(TopicName(topic));
  }
  return names;
}

Result<Request> ParseRequest(std::string_view text) {
  const Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return Invalid("the request is no JSON object");
  Request request;
  bool has_topic = false;
  for (const auto& [name, value] : object.items()) {
    if (!value.is_string()) return Invalid("'" + name + "' is not a string");
    if (name == "topic") {
      const Result<Topic> topic = ParseTopic(value.get<std::string>());
      if (!topic.ok()) return topic.status();
      request.topic = *topic;
      has_topic = true;
    } else if (name == "pod") {
      request.pod = value.get<std::string>();
    } else if (name == "from") {
      request.from = value.get<std::string>();
    } else {
      return Invalid("unknown member '" + name + "'; known are topic, pod and from");
    }
  }
  if (!has_topic) return Invalid("the request has no topic; known are " + TopicNames());
  if (!request.pod.empty() && request.pod.find('/') == std::string::npos) {
    return Invalid("'" + request.pod + "' does not name a pod as namespace/name");
  }
  return request;
}

std::string FormatRequest(const Request& request) {
  Json object = {{"topic", std::string(TopicName(request.topic))}};
  if (!request.pod.empty()) object["pod"] = request.pod;
  if (!request.from.empty()) object["from"] = request.from;
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace npu_ipc::admin
