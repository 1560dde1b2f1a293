#include "plugin/admin/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "hal/base/process.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::admin {
namespace {

using broker::MappingState;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kKey[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

class DocumentsTest : public testing::Test {
 protected:
  DocumentsTest() {
    node_.node = "node-a";
    node_.version = "1.2.3";
    node_.pod_directory.ready = true;
  }

  void AddPod(const std::string& name, const std::string& group) {
    pods::Pod pod{"uid-" + name, "team", name};
    if (!group.empty()) pod.annotations["npu-ipc.io/group"] = group;
    node_.pods.push_back(std::make_shared<pods::Pod>(pod));
  }
  void AddProcess(broker::ClientId client, const std::string& pod, pid_t pid = 0) {
    broker::ShareSnapshot::Process process;
    process.client = client;
    process.info.pod_namespace = "team";
    process.info.pod_name = pod;
    process.info.container_name = "main";
    process.info.process = {pid, pid == 0 ? 0 : ProcessStartTime(pid).value()};
    node_.shares.processes[client] = process;
  }
  void AddRegion(broker::RegionId id, broker::ClientId exporter, uint32_t device) {
    broker::ShareSnapshot::Region region;
    region.id = id;
    region.name = {{"team", "weights"}, "shard"};
    region.exporter = exporter;
    region.device = device;
    node_.shares.regions[id] = region;
  }
  void AddMapping(broker::RegionId region, broker::ClientId importer, MappingState state) {
    broker::ShareSnapshot::Mapping mapping;
    mapping.region = region;
    mapping.importer = importer;
    mapping.state = state;
    mapping.region_name = "team/weights/shard";
    node_.shares.mappings.push_back(mapping);
  }
  // `device` in the container "main" of the pod.
  void Allocate(const std::string& pod, uint32_t device) {
    if (!node_.devices) {
      node_.devices.emplace();
      node_.devices->connected = true;
    }
    state_.devices[std::to_string(device)].hardware.physical_id = device;
    state_.devices[std::to_string(device)].id = std::to_string(device);
    device_view::Allocation allocation;
    allocation.device_ids = {std::to_string(device)};
    allocation.pod_namespace = "team";
    allocation.pod_name = pod;
    allocation.container_name = "main";
    state_.allocations[state_.allocations.size()] = allocation;
    node_.devices->state = std::make_shared<device_view::NodeState>(state_);
  }
  std::map<std::string, json> Steps(const std::string& pod) {
    std::map<std::string, json> steps;
    const json document = DoctorDocument(node_, pod);
    for (const json& step : document["steps"]) steps[step["name"]] = step;
    return steps;
  }

  NodeSnapshot node_;
  device_view::NodeState state_;
};

TEST_F(DocumentsTest, ADeviceIsConfirmedWhereTheContainerWasGivenIt) {
  AddProcess(1, "exporter");
  AddProcess(2, "liar");
  AddProcess(3, "sidecar");
  Allocate("exporter", 5);
  Allocate("liar", 6);
  for (broker::ClientId client = 1; client <= 3; ++client) AddRegion(client, client, 5);
  const json document = SharesDocument(node_);
  EXPECT_EQ(document["items"][0]["device"]["evidence"], "Confirmed");
  EXPECT_EQ(document["items"][1]["device"]["evidence"], "Contradicted");
  EXPECT_EQ(document["items"][2]["device"]["evidence"], "Claimed");
}

TEST_F(DocumentsTest, AMappingWhoseRegionIsGoneIsNotLost) {
  AddProcess(1, "importer");
  AddMapping(0, 1, MappingState::kDead);
  const json document = SharesDocument(node_);
  EXPECT_THAT(document["items"], IsEmpty());
  EXPECT_EQ(document["looseMappings"][0]["region"], "team/weights/shard");
  EXPECT_EQ(document["looseMappings"][0]["state"], "Dead");
}

TEST_F(DocumentsTest, APageNamesTheNext) {
  EXPECT_FALSE(SharesDocument(node_).contains("metadata"));
  node_.shares.next = "r.1.2";
  EXPECT_EQ(SharesDocument(node_)["metadata"]["continue"], "r.1.2");
}

TEST_F(DocumentsTest, PodsThatDoNotShareAndHoldNothingAreLeftOut) {
  AddPod("plain", "");
  AddPod("holder", "");
  AddPod("member", "weights");
  Allocate("holder", 1);
  const json items = PodsDocument(node_)["items"];
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[0]["name"], "holder");
  EXPECT_EQ(items[0]["allocations"][0]["devices"][0]["physicalId"], 1);
  EXPECT_EQ(items[1]["name"], "member");
}

TEST_F(DocumentsTest, DevicesSayWhoHoldsThemAndHowOldThatIs) {
  Allocate("holder", 1);
  node_.devices->connected = false;
  node_.devices_age = std::chrono::seconds(90);
  const json document = DevicesDocument(node_);
  EXPECT_EQ(document["view"]["state"], "Stale");
  EXPECT_EQ(document["view"]["ageSeconds"], 90);
  EXPECT_EQ(document["items"][0]["holders"][0]["pod"], "holder");
}

TEST_F(DocumentsTest, WhatIsNotUtf8BecomesADocumentAllTheSame) {
  node_.events.push_back({Event::Type::kRefused, "team", "p\xff", "r", "m", {}, {}, 1});
  EXPECT_TRUE(json::accept(Dump(EventsDocument(node_))));
}

TEST_F(DocumentsTest, DoctorStopsAtAMissingAnnotation) {
  AddPod("trainer", "");
  auto steps = Steps("team/trainer");
  EXPECT_EQ(steps["pod-known"]["status"], "Ok");
  EXPECT_EQ(steps["annotated"]["status"], "Failed");
  EXPECT_THAT(steps["annotated"]["remedy"].get<std::string>(), HasSubstr("npu-ipc.io/group"));
  EXPECT_EQ(steps["device-plugin"]["status"], "Skipped");
}

TEST_F(DocumentsTest, DoctorStopsAtAPodThatIsNotKnown) {
  EXPECT_EQ(Steps("team/nobody")["pod-known"]["status"], "Failed");
  node_.pod_directory = {false, "the API server does not answer"};
  EXPECT_THAT(Steps("team/nobody")["pod-known"]["message"].get<std::string>(),
              HasSubstr("the API server does not answer"));
}

TEST_F(DocumentsTest, DoctorStopsAtPolicy) {
  AddPod("trainer", "other/weights");
  EXPECT_EQ(Steps("team/trainer")["allowed"]["status"], "Failed");
  node_.policy.cross_namespace = true;
  const json allowed = Steps("team/trainer")["allowed"];
  EXPECT_THAT(allowed["message"].get<std::string>(), HasSubstr("no pod of namespace other"));
}

TEST_F(DocumentsTest, DoctorGoesAllTheWay) {
  AddPod("exporter", "weights:exporter");
  AddPod("importer", "weights:importer");
  AddProcess(1, "exporter");
  AddProcess(2, "importer");
  AddRegion(10, 1, 0);
  AddMapping(10, 2, MappingState::kImported);
  node_.resources = {{"npu-ipc.io/share", 1}};
  for (const char* const pod : {"team/exporter", "team/importer"}) {
    for (const auto& [name, step] : Steps(pod)) {
      EXPECT_NE(step["status"], "Failed") << pod << " " << name << step;
    }
  }
  const json document = DoctorDocument(node_, "team/importer");
  EXPECT_EQ(document["members"][0]["pod"], "exporter");
  EXPECT_EQ(document["members"][0]["regions"], 1);
  EXPECT_EQ(document["resources"], json::array({"npu-ipc.io/share"}));

  node_.shares.mappings[0].state = MappingState::kRevoked;
  EXPECT_EQ(Steps("team/importer")["imported"]["status"], "Failed");
  node_.resources = {{"npu-ipc.io/share", 0}};
  EXPECT_EQ(Steps("team/importer")["registered"]["status"], "Failed");
}

TEST_F(DocumentsTest, DoctorOfANodeHasItsStepsAlone) {
  const auto steps = Steps("");
  EXPECT_EQ(steps.at("broker")["status"], "Ok");
  EXPECT_EQ(steps.at("pods-known")["status"], "Ok");
  EXPECT_FALSE(steps.contains("annotated"));
}

class AuditTest : public DocumentsTest {
 protected:
  AuditTest() {
    AddPod("exporter", "weights");
    AddProcess(1, "exporter", ::getpid());
    broker::ShareSnapshot::Key key;
    key.key = kKey;
    key.exporter = node_.shares.processes[1].info.process;
    key.device = 3;
    key.allocation_bytes = 4096;
    key.regions = {"team/weights/shard"};
    node_.shares.keys.push_back(key);
    record_.key = kKey;
    record_.device = 3;
    record_.creator = ::getpid();
    record_.bytes = 4096;
  }
  json Audit() {
    std::ofstream(directory_.Path(kKey))
        << "Ipc node detail:\nname=" << kKey << ";devid=" << record_.device
        << ";pid=" << record_.creator << ";len=" << record_.bytes
        << ";page_size=4096;need_set_wlist=1;valid=1\nWhite List:\n";
    DriverExports exports;
    exports.available = true;
    exports.records = {record_};
    const json document =
        AuditDocument(node_, exports, driver_records::DriverRecords(directory_.path()));
    EXPECT_THAT(document.dump(), Not(HasSubstr(kKey)));
    return document["items"];
  }

  const TemporaryDirectory directory_;
  driver_records::IpcMemoryRecord record_;
};

TEST_F(AuditTest, FindsNothingWhereAllIsAsGranted) {
  record_.whitelist = {{.pid = ::getppid(), .set_time_ns = 1}};
  node_.shares.keys[0].listings[::getppid()] = {ProcessStartTime(::getppid()).value(), true};
  EXPECT_THAT(Audit(), IsEmpty());
}

TEST_F(AuditTest, FindsWhomNobodyGranted) {
  record_.whitelist = {{.pid = ::getppid(), .set_time_ns = 1}};
  const json findings = Audit();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0]["type"], "UngrantedProcess");
  EXPECT_EQ(findings[0]["severity"], "Critical");
  EXPECT_EQ(findings[0]["exporterPod"], "team/exporter");
  // A broker that has been restarted does not know whom it granted before.
  node_.shares.keys[0].listed_before = 1;
  EXPECT_THAT(Audit(), IsEmpty());
}

TEST_F(AuditTest, FindsAProcessWithThePidOfOneThatWasGranted) {
  const uint64_t started = ProcessStartTime(::getppid()).value();
  node_.shares.keys[0].listings[::getppid()] = {started + 1, true};
  record_.whitelist = {{.pid = ::getppid(), .set_time_ns = UINT64_MAX}};
  ASSERT_EQ(Audit().size(), 1U);
  EXPECT_EQ(Audit()[0]["type"], "TaintedKey");
  // One that started after the listing cannot import.
  record_.whitelist[0].set_time_ns = 1;
  EXPECT_THAT(Audit(), IsEmpty());
}

TEST_F(AuditTest, FindsExportsThatAnybodyMayMap) {
  record_.whitelist_required = false;
  EXPECT_EQ(Audit()[0]["type"], "ValidationOff");
  EXPECT_EQ(Audit()[0]["severity"], "Critical");
  node_.policy.pid_validation_off_namespaces = {"team"};
  EXPECT_EQ(Audit()[0]["severity"], "Warning");
}

TEST_F(AuditTest, FindsWhatTheDriverContradicts) {
  record_.device = 4;
  const json findings = Audit();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0]["type"], "Contradiction");
  node_.shares.keys[0].renewing = true;
  EXPECT_THAT(Audit(), IsEmpty());
}

TEST_F(AuditTest, FindsLeftovers) {
  record_.valid = false;
  EXPECT_EQ(Audit()[0]["type"], "Leftover");
}

}  // namespace
}  // namespace npu_ipc::admin
