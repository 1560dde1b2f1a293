// What the driver has, held against what the broker granted.
#include <unistd.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hal/base/process.h"
#include "plugin/admin/document.h"
#include "plugin/admin/documents.h"
#include "plugin/identity/container.h"

namespace npu_ipc::admin {
namespace {

using broker::ShareSnapshot;
using driver_records::IpcMemoryRecord;
using driver_records::ListedProcess;
using Json = nlohmann::json;

constexpr size_t kMostFindings = 1000;
constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;

// Since the machine's start, as the driver notes when it lists a process.
uint64_t StartTimeNs(uint64_t ticks) {
  const auto ticks_per_second = static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  return ticks / ticks_per_second * kNanosecondsPerSecond +
         ticks % ticks_per_second * kNanosecondsPerSecond / ticks_per_second;
}

class Audit {
 public:
  explicit Audit(const NodeSnapshot& node) : node_(node) {
    for (const ShareSnapshot::Key& key : node.shares.keys) keys_.emplace(key.key, &key);
    for (const auto& [client, process] : node.shares.processes) {
      pods_.emplace(process.info.process.pid, process.info.PodFullName());
    }
  }

  void CheckRecord(const IpcMemoryRecord& record) {
    const auto known = keys_.find(record.key);
    const ShareSnapshot::Key* const key = known == keys_.end() ? nullptr : known->second;
    ++(key != nullptr ? brokered_ : unmanaged_);
    if (!ProcessStartTime(record.creator).ok()) {
      Add("Warning", "Leftover", record.creator, key,
          "its process has ended, and the driver keeps the export: an importer has it open still");
    } else if (!record.valid) {
      Add("Warning", "Leftover", record.creator, key,
          "the export is closed, and the driver keeps it until its importers have closed it");
    } else if (!record.whitelist_required) {
      CheckOpenExport(record, key);
    }
    if (key == nullptr) return;
    for (const ListedProcess& listed : record.whitelist) CheckListed(listed, record, *key);
  }

  void CheckKey(const ShareSnapshot::Key& key, const driver_records::DriverRecords& driver) {
    // What is being renewed is closed meanwhile.
    if (key.renewing) return;
    const auto contradiction = driver.Contradiction(
        driver_records::ExportClaim{key.key, key.exporter.pid, key.device, key.allocation_bytes});
    if (!contradiction) return;
    Add("Critical", "Contradiction", key.exporter.pid, &key, *contradiction);
  }

  Json Finish(Json document) {
    document["summary"] = {{"granted", node_.shares.keys.size()},
                           {"brokered", brokered_},
                           {"unmanaged", unmanaged_},
                           {"whitelistedBeforeRestart", before_restart_},
                           {"findings", findings_.size() + dropped_}};
    document["findingsDropped"] = dropped_;
    document["items"] = std::move(findings_);
    return document;
  }

 private:
  void CheckOpenExport(const IpcMemoryRecord& record, const ShareSnapshot::Key* key) {
    const std::string pod = PodOf(record.creator);
    const std::string pod_namespace = pod.substr(0, pod.find('/'));
    const bool allowed = !pod.empty() && node_.policy.MayDisablePidValidation(pod_namespace);
    Add(allowed ? "Warning" : "Critical", "ValidationOff", record.creator, key,
        "exported with the driver's PID validation off: every process of this node that learns the "
        "key can map " +
            std::to_string(record.bytes) + " bytes of device " + std::to_string(record.device) +
            (allowed ? " (policy.pidValidationOffNamespaces allows it)"
                     : "; set the program's environment so that it keeps the validation on, or "
                       "run it with npu-ipc.io/inject: preload"));
  }

  void CheckListed(const ListedProcess& listed, const IpcMemoryRecord& record,
                   const ShareSnapshot::Key& key) {
    if (listed.super_pod_device_id != ListedProcess::kThisServer) {
      return Add("Critical", "UngrantedProcess", record.creator, &key,
                 "its whitelist has process " + std::to_string(listed.pid) +
                     " of another server (super pod device " +
                     std::to_string(listed.super_pod_device_id) + "), which nobody granted");
    }
    const auto granted = key.listings.find(listed.pid);
    if (granted == key.listings.end()) {
      if (listed.pid == record.creator) return;
      if (key.listed_before > 0) {
        ++before_restart_;
        return;
      }
      return Add("Critical", "UngrantedProcess", record.creator, &key,
                 "its whitelist has " + DescribeProcess(listed.pid) + ", which nobody granted");
    }
    const Result<uint64_t> started = ProcessStartTime(listed.pid);
    const bool another = started.ok() && *started != granted->second.start_time_ticks;
    // One that started later cannot import: the driver compares the times.
    if (!another || StartTimeNs(*started) >= listed.set_time_ns) return;
    Add("Critical", "TaintedKey", record.creator, &key,
        "its whitelist has " + DescribeProcess(listed.pid) +
            ", which has the PID of a process that was granted and has ended: end that process, "
            "or publish the memory again");
  }

  std::string DescribeProcess(pid_t pid) {
    const std::string pod = PodOf(pid);
    return "process " + std::to_string(pid) + (pod.empty() ? "" : " of pod " + pod);
  }

  // "namespace/name"; empty where it is not known.
  std::string PodOf(pid_t pid) {
    const auto [known, is_new] = pods_.try_emplace(pid);
    if (is_new) known->second = LookUpPod(pid);
    return known->second;
  }

  std::string LookUpPod(pid_t pid) const {
    Result<UniqueFd> pidfd = OpenPidfd(pid);
    const Result<uint64_t> start_time = ProcessStartTime(pid);
    if (!pidfd.ok() || !start_time.ok()) return "";
    PeerProcess process;
    process.pid = pid;
    process.start_time_ticks = *start_time;
    process.pidfd = std::move(*pidfd);
    const Result<identity::ContainerCgroup> container = identity::ContainerOf(process);
    if (!container.ok()) return "";
    const pods::Pod* const pod = FindPod(node_, container->pod_uid);
    return pod == nullptr ? "" : pods::FullName(*pod);
  }

  void Add(const char* severity, const char* type, pid_t creator, const ShareSnapshot::Key* key,
           const std::string& message) {
    if (findings_.size() == kMostFindings) {
      ++dropped_;
      return;
    }
    Json finding = {{"severity", severity},
                    {"type", type},
                    {"message", message},
                    {"exporterHostPid", creator},
                    {"exporterPod", PodOf(creator)},
                    {"regions", Json::array()}};
    if (key != nullptr) finding["regions"] = key->regions;
    findings_.push_back(std::move(finding));
  }

  const NodeSnapshot& node_;
  std::map<std::string, const ShareSnapshot::Key*> keys_;
  std::map<pid_t, std::string> pods_;  // full names
  Json findings_ = Json::array();
  size_t dropped_ = 0;
  size_t brokered_ = 0;
  size_t unmanaged_ = 0;
  size_t before_restart_ = 0;
};

}  // namespace

Json AuditDocument(const NodeSnapshot& node, const DriverExports& exports,
                   const driver_records::DriverRecords& driver) {
  Audit audit(node);
  for (const IpcMemoryRecord& record : exports.records) audit.CheckRecord(record);
  if (exports.available) {
    for (const ShareSnapshot::Key& key : node.shares.keys) audit.CheckKey(key, driver);
  }
  Json document = NewDocument("Audit", node);
  document["driverRecords"] = {{"directory", driver.directory()},
                               {"state", exports.available ? "Read" : "Unknown"},
                               {"problem", exports.problem},
                               {"unreadable", exports.unreadable}};
  // The driver keeps no records of these that a file system shows.
  document["notCovered"] = {"VMM shareable handles", "notifies", "events"};
  return audit.Finish(std::move(document));
}

}  // namespace npu_ipc::admin
