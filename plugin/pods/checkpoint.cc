#include "plugin/pods/checkpoint.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "plugin/pods/policy.h"

namespace npu_ipc::pods {
namespace {

using Json = nlohmann::json;

constexpr char kKind[] = "pods";
constexpr uint32_t kVersion = 1;

bool AsksToShare(const Pod& pod) {
  const auto first = pod.annotations.lower_bound(std::string(kAnnotationPrefix));
  return first != pod.annotations.end() && first->first.starts_with(kAnnotationPrefix);
}

// As the API has it, so that ReadPod() reads it back.
Json ToJson(const Pod& pod) {
  Json containers = Json::array();
  for (const PodContainer& container : pod.containers) {
    containers.push_back({{"name", container.name}, {"containerID", container.id}});
  }
  return {{"metadata",
           {{"uid", pod.uid},
            {"namespace", pod.pod_namespace},
            {"name", pod.name},
            {"annotations", pod.annotations},
            {"labels", pod.labels}}},
          {"status", {{"containerStatuses", std::move(containers)}}}};
}

Status Invalid(const std::string& what) { return {StatusCode::kInvalidArgument, what}; }

}  // namespace

std::string PodsToText(const PodPointers& pods, const std::string& node_name) {
  Json list = Json::array();
  for (const std::shared_ptr<const Pod>& pod : pods) {
    if (AsksToShare(*pod)) list.push_back(ToJson(*pod));
  }
  const Json document = {{"node", node_name}, {"pods", std::move(list)}};
  return document.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<std::vector<Pod>> PodsFromText(std::string_view text, const std::string& node_name) {
  const Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.contains("node") || !document.contains("pods") ||
      !document["pods"].is_array()) {
    return Invalid("it holds no pods of a node");
  }
  if (document["node"] != node_name) return Invalid("it is of another node, not of " + node_name);
  std::vector<Pod> pods;
  for (const Json& object : document["pods"]) {
    Result<Pod> pod = ReadPod(object, "pods[" + std::to_string(pods.size()) + "]");
    if (!pod.ok()) return pod.status();
    pods.push_back(std::move(pod).value());
  }
  return pods;
}

PodCheckpoint::PodCheckpoint(const std::string& directory, std::string node_name)
    : file_(directory + "/" + kKind, kKind, kVersion), node_name_(std::move(node_name)) {
  thread_ = std::thread([this] { Run(); });
}

PodCheckpoint::~PodCheckpoint() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

std::vector<Pod> PodCheckpoint::Load() const {
  const Result<std::string> text = file_.Read();
  if (text.status().code() == StatusCode::kNotFound) return {};
  Result<std::vector<Pod>> pods =
      text.ok() ? PodsFromText(*text, node_name_) : Result<std::vector<Pod>>(text.status());
  if (pods.ok()) {
    spdlog::info("pods known from before the restart: pods={} file={}", pods->size(), file_.path());
    return std::move(pods).value();
  }
  spdlog::error("the pods known from before the restart are ignored: file={} reason={}",
                file_.path(), pods.status().message());
  return {};
}

void PodCheckpoint::Save(PodPointers pods) {
  {
    const std::lock_guard lock(mutex_);
    waiting_ = std::move(pods);
  }
  changed_.notify_one();
}

void PodCheckpoint::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || waiting_; });
    if (!waiting_) return;
    const PodPointers pods = *std::exchange(waiting_, std::nullopt);
    lock.unlock();
    Write(pods);
    lock.lock();
  }
}

void PodCheckpoint::Write(const PodPointers& pods) {
  const Status written = file_.Write(PodsToText(pods, node_name_));
  if (!written.ok() && !failing_) {
    spdlog::error("the pods cannot be kept over a restart: {}", written.message());
  } else if (written.ok() && failing_) {
    spdlog::info("the pods are kept over a restart again: file={}", file_.path());
  }
  failing_ = !written.ok();
}

}  // namespace npu_ipc::pods
