#include "plugin/broker/diagnostics.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "plugin/admin/documents.h"
#include "plugin/admin/driver_exports.h"
#include "plugin/broker/share_snapshot.h"

namespace npu_ipc::broker {
namespace {

// Regions, mappings, processes: some 100 µs a turn.
constexpr size_t kThingsOfATurn = 256;
constexpr auto kSnapshotDeadline = std::chrono::seconds(10);
constexpr auto kLookForTheEndEvery = std::chrono::milliseconds(50);

}  // namespace

// One snapshot: made on the loop's thread, waited for on the server's.
struct Diagnostics::Job {
  explicit Job(admin::Request asked) : request(std::move(asked)) {}

  const admin::Request request;
  admin::NodeSnapshot node;                 // the loop's until `done`
  std::optional<ShareSnapshotTaker> taker;  // the loop's

  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;       // guarded by mutex
  bool abandoned = false;  // guarded by mutex
};

Diagnostics::Diagnostics(Sources sources) : sources_(std::move(sources)) {}

Diagnostics::~Diagnostics() { ending_ = true; }

Status Diagnostics::Serve(const std::string& socket_path) {
  Result<std::unique_ptr<admin::Server>> server = admin::Server::Start(
      socket_path, [this](const std::string& request) { return Answer(request); });
  if (!server.ok()) return server.status();
  server_ = std::move(*server);
  return Status::Ok();
}

void Diagnostics::OnPodsChanged(const std::vector<std::string>& changed_uids) {
  for (const std::string& uid : changed_uids) {
    if (sources_.pods().Find(uid) != nullptr) {
      pod_uids_.insert(uid);
    } else {
      pod_uids_.erase(uid);
    }
  }
}

void Diagnostics::OnRefused(const pods::Pod& pod, const Refusal& refusal) {
  events_.Add(admin::Event::Type::kRefused, pod, refusal, std::chrono::system_clock::now());
}

void Diagnostics::OnUnknownRefused(pid_t pid, const std::string& pod_uid, const Refusal& refusal) {
  events_.AddUnknown(pid, pod_uid, refusal, std::chrono::system_clock::now());
}

void Diagnostics::OnRevoked(const pods::Pod& pod, const Refusal& reason) {
  events_.Add(admin::Event::Type::kRevoked, pod, reason, std::chrono::system_clock::now());
}

std::string Diagnostics::Answer(const std::string& text) {
  const Result<admin::Request> request = admin::ParseRequest(text);
  if (!request.ok()) return admin::Dump(admin::FailureDocument(request.status()));
  // Before the snapshot (AuditDocument() says why).
  admin::DriverExports exports;
  if (request->topic == admin::Topic::kAudit) {
    exports = admin::ReadDriverExports(sources_.driver_records);
  }
  const Result<admin::NodeSnapshot> node = TakeSnapshot(*request);
  if (!node.ok()) return admin::Dump(admin::FailureDocument(node.status()));
  switch (request->topic) {
    case admin::Topic::kVersion:
      return admin::Dump(admin::VersionDocument(*node));
    case admin::Topic::kShares:
      return admin::Dump(admin::SharesDocument(*node));
    case admin::Topic::kPods:
      return admin::Dump(admin::PodsDocument(*node));
    case admin::Topic::kDevices:
      return admin::Dump(admin::DevicesDocument(*node));
    case admin::Topic::kAudit:
      return admin::Dump(admin::AuditDocument(*node, exports, sources_.driver_records));
    case admin::Topic::kDoctor:
      return admin::Dump(admin::DoctorDocument(*node, request->pod));
    case admin::Topic::kEvents:
      return admin::Dump(admin::EventsDocument(*node));
  }
  return "";
}

Result<admin::NodeSnapshot> Diagnostics::TakeSnapshot(const admin::Request& request) {
  const auto job = std::make_shared<Job>(request);
  sources_.loop.Post([this, job] { Begin(job); });
  const auto deadline = std::chrono::steady_clock::now() + kSnapshotDeadline;
  std::unique_lock lock(job->mutex);
  while (!job->done) {
    job->changed.wait_for(lock, kLookForTheEndEvery);
    if (job->done) break;
    const bool late = std::chrono::steady_clock::now() >= deadline;
    if (!late && !ending_) continue;
    job->abandoned = true;
    return late ? Status(StatusCode::kDeadlineExceeded,
                         "the broker is too busy to answer; try again")
                : Status(StatusCode::kUnavailable, "the broker is ending");
  }
  return std::move(job->node);
}

void Diagnostics::Begin(const std::shared_ptr<Job>& job) {
  job->node = sources_.describe_node();
  const pods::PodDirectory& directory = sources_.pods();
  job->node.pod_directory = directory.state();
  for (const std::string& uid : pod_uids_) {
    if (auto pod = directory.Find(uid)) job->node.pods.push_back(std::move(pod));
  }
  job->node.events = events_.All();
  job->taker.emplace(sources_.shares, admin::ShareQueryFor(job->node, job->request));
  Continue(job);
}

void Diagnostics::Continue(const std::shared_ptr<Job>& job) {
  {
    const std::lock_guard lock(job->mutex);
    if (job->abandoned) return;
  }
  if (!job->taker->Step(kThingsOfATurn)) {
    sources_.loop.RunAfter(Duration::zero(), [this, job] { Continue(job); });
    return;
  }
  job->node.shares = job->taker->Take();
  const std::lock_guard lock(job->mutex);
  job->done = true;
  job->changed.notify_one();
}

}  // namespace npu_ipc::broker
