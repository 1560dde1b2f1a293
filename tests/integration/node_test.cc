#include "tests/integration/node_test.h"

#include <httplib.h>
#include <stdio.h>
#include <stdlib.h>

#include <filesystem>
#include <utility>

#include "hal/base/process.h"

namespace npu_ipc {

void GiveUp(const std::string& why) {
  ADD_FAILURE() << why;
  ::fflush(nullptr);
  ::_exit(1);  // what was started ends with the node box
}

namespace {

// A party that a sanitizer finds fault with ends, and its test with it. AddressSanitizer's ends
// anyway.
const std::map<std::string, std::string> kSanitizerEnvironment = {
    {"TSAN_OPTIONS", "halt_on_error=1:exitcode=66:ignore_noninstrumented_modules=1"},
    {"UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1"},
};

template <class T>
T Required(Result<T> result) {
  if (!result.ok()) GiveUp(result.status().message());
  return std::move(result).value();
}

void Required(const Status& status) {
  if (!status.ok()) GiveUp(status.message());
}

}  // namespace

void NodeTest::SetUp() {
  TestNode::Options options;
  options.cgroup = ::getenv("NPU_IPC_TEST_CGROUP");  // main.cc
  options.broker_flags = BrokerFlags();
  options.plugin_flags = PluginFlags();
  options.replicas = Replicas();
  options.image_files = ImageFiles();
  node_ = Required(TestNode::Start(std::move(options)));
}

void NodeTest::TearDown() {
  if (HasFailure()) {
    for (const char* daemon : {"driver", "device-plugin", "broker"}) {
      ::printf("--- %s\n%s", daemon, node_->Log(daemon).c_str());
    }
  }
  node_.reset();
  std::error_code ignored;
  std::filesystem::remove_all("/run/npu", ignored);  // for the next test where there is one
}

PodRecord NodeTest::NewPod(const std::string& name, const std::string& group) {
  PodRecord pod = {"team-a", name, RandomUid(), {}};
  if (!group.empty()) pod.annotations["npu-ipc.io/group"] = group;
  TellBroker(pod);
  return pod;
}

void NodeTest::TellBroker(const PodRecord& pod) {
  pods_.push_back(pod);
  Required(node_->SetPods(pods_));
}

void NodeTest::Annotate(const RemoteParty& party, const std::string& annotation,
                        const std::string& value) {
  for (PodRecord& pod : pods_) {
    if (pod.uid != party.pod().uid) continue;
    pod.annotations.erase(annotation);
    if (!value.empty()) pod.annotations[annotation] = value;
  }
  Required(node_->SetPods(pods_));
}

void NodeTest::DeletePod(const PodRecord& pod) {
  std::erase_if(pods_, [&](const PodRecord& known) { return known.uid == pod.uid; });
  Required(node_->SetPods(pods_));
}

RemoteParty NodeTest::Run(const PodRecord& pod, int device, const ContainerNamespaces& namespaces) {
  return {pod, Required(node_->Run(pod, Allocation(device), {"npu-ipc-party"},
                                   kSanitizerEnvironment, namespaces))};
}

RemoteParty NodeTest::Start(const PodRecord& pod, int device,
                            const ContainerNamespaces& namespaces) {
  RemoteParty party = Run(pod, device, namespaces);
  EXPECT_THAT(party.Do("device 0"), IsOk());
  return party;
}

RemoteParty NodeTest::StartMember(const std::string& name, const std::string& group, int device) {
  return StartMember(NewPod(name, group), device);
}

RemoteParty NodeTest::StartMember(const PodRecord& pod, int device) {
  RemoteParty party = Start(pod, device);
  EXPECT_THAT(party.Do("open"), IsOk());
  return party;
}

uint64_t NodeTest::Publish(RemoteParty& exporter, const std::string& name, uint64_t first_word) {
  EXPECT_THAT(exporter.Do("malloc " + name + " " + std::to_string(kRegionBytes)), IsOk());
  EXPECT_THAT(exporter.Do("write " + name + " " + std::to_string(first_word)), IsOk());
  return GenerationOf(exporter.Do("publish " + name));
}

nlohmann::json NodeTest::Allocation(int device) {
  const nlohmann::json devices = Required(node_->Devices());
  return Required(node_->Allocate({devices.at("devices").at(device).at("id")}));
}

std::vector<std::string> NodeTest::RunShell(const nlohmann::json& allocation,
                                            const std::string& script) {
  const auto container =
      Required(node_->Run(NewPod("shell", "weights"), allocation, {"/bin/sh", "-c", script}));
  std::vector<std::string> lines;
  for (;;) {
    Result<std::string> line = container->process().ReadLine();
    if (!line.ok()) return lines;
    lines.push_back(std::move(*line));
  }
}

std::vector<std::string> NodeTest::ExportedKeys() {
  std::vector<std::string> keys;
  for (const auto& file : std::filesystem::directory_iterator(node_->audit_directory())) {
    const std::string name = file.path().filename();
    if (name.front() != '.') keys.push_back(name);
  }
  return keys;
}

std::vector<std::string> NodeTest::LiveKeys() {
  std::vector<std::string> keys = ExportedKeys();
  std::erase_if(keys, [this](const std::string& key) {
    return AuditFile(key).find(";valid=1;") == std::string::npos;
  });
  return keys;
}

std::string NodeTest::AuditFile(const std::string& key) {
  const Result<std::string> text = ReadFile(node_->audit_directory() + "/" + key);
  return text.ok() ? *text : "";
}

std::vector<int> NodeTest::AuditedPids(const std::string& key) {
  const std::string text = AuditFile(key);
  std::vector<int> pids;
  constexpr std::string_view kField = ";pid=";
  for (size_t at = text.find(kField); at != std::string::npos; at = text.find(kField, at + 1)) {
    pids.push_back(::atoi(text.c_str() + at + kField.size()));
  }
  return pids;
}

std::string NodeTest::BrokerSays(const std::string& path, const std::string& log) {
  httplib::Client client("127.0.0.1", Required(node_->BrokerHttpPort(log)));
  const httplib::Result answer = client.Get(path);
  return answer ? answer->body : "";
}

double NodeTest::Metric(const std::string& name) {
  const std::string text = "\n" + BrokerSays("/metrics");
  const std::string start = "\n" + name + " ";
  const size_t at = text.find(start);
  return at == std::string::npos ? -1 : ::strtod(text.c_str() + at + start.size(), nullptr);
}

testing::AssertionResult NodeTest::MetricBecomes(const std::string& name, double value) {
  double last = -1;
  if (WaitUntil([&] { return (last = Metric(name)) == value; })) return testing::AssertionSuccess();
  return testing::AssertionFailure() << name << " is " << last << ", not " << value;
}

}  // namespace npu_ipc
