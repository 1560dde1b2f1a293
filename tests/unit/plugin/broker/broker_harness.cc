#include "tests/unit/plugin/broker/broker_harness.h"

#include <httplib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "tests/fixtures/cgroup_tree.h"

namespace npu_ipc::broker {
namespace {

std::string NewContainerId() {
  std::string id;
  for (int i = 0; i < 2; ++i) {
    for (const char c : RandomUid()) {
      if (c != '-') id += c;
    }
  }
  return id;
}

}  // namespace

void BrokerProcessTest::SetUp() {
  cgroup_ = UniqueCgroupName();
  ASSERT_TRUE(MakeCgroup(cgroup_) && MakeCgroup(cgroup_ + "/kubepods") &&
              MakeCgroup(cgroup_ + "/kubepods/burstable"));
  WritePods();
}

void BrokerProcessTest::TearDown() {
  broker_.reset();
  // A cgroup with a process in it cannot be removed.
  for (const auto& client : clients_) client->Kill();
  RemoveCgroup(cgroup_);
  EXPECT_EQ(Log().find(kSecretKey), std::string::npos) << "a key is in the log";
  if (HasFailure()) fprintf(stderr, "%s", Log().c_str());
}

int BrokerProcessTest::RunBroker(const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = {NPU_IPC_BROKER_PROGRAM, "--admin-socket=" + admin_socket_};
  const bool has_state_directory = std::any_of(flags.begin(), flags.end(), [](const auto& flag) {
    return flag.starts_with("--state-directory=");
  });
  if (!has_state_directory) arguments.push_back("--state-directory=" + directory_.Path("state"));
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  Result<ChildProcess> run = ChildProcess::Start({.arguments = arguments, .error_file = log_file_});
  EXPECT_TRUE(run.ok());
  const Result<int> exit_code = run->Wait();
  return exit_code.ok() ? *exit_code : -1;
}

void BrokerProcessTest::StartBroker(const std::vector<std::string>& flags,
                                    std::vector<std::string> run_by) {
  std::vector<std::string> arguments = std::move(run_by);
  arguments.insert(
      arguments.end(),
      {NPU_IPC_BROKER_PROGRAM, "--socket-path=" + socket_, "--http-listen-address=127.0.0.1:0",
       "--log-level=trace", "--cluster-enabled=" + cluster_enabled_,
       "--device-view-socket=" + view_socket_, "--admin-socket=" + admin_socket_,
       "--state-directory=" + directory_.Path("state")});
  if (has_pods_file_) arguments.push_back("--pods-file=" + pods_file_);
  if (!offers_share_resource_) arguments.push_back("--share-ids=0");
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  std::ofstream(log_file_, std::ios::trunc).close();
  Result<ChildProcess> started = ChildProcess::Start(
      {.arguments = arguments, .error_file = log_file_, .before_exec = before_broker_});
  ASSERT_TRUE(started.ok()) << started.status().message();
  broker_ = std::move(started).value();
  ASSERT_TRUE(WaitForLog("serving: socket=")) << Log();
  const std::string marker = "serving HTTP: address=127.0.0.1:";
  http_port_ = atoi(Log().c_str() + Log().find(marker) + marker.size());
}

PodRecord BrokerProcessTest::AddPod(const std::string& name, const std::string& group) {
  PodRecord pod{"team", name, RandomUid(), {}};
  if (!group.empty()) pod.annotations["npu-ipc.io/group"] = group;
  pods_.push_back(pod);
  WritePods();
  return pod;
}

void BrokerProcessTest::WritePods() {
  std::ofstream(pods_file_ + ".next") << PodList(pods_);
  ASSERT_EQ(::rename((pods_file_ + ".next").c_str(), pods_file_.c_str()), 0);
}

std::shared_ptr<ClientProcess> BrokerProcessTest::AddProcess(const PodRecord& pod,
                                                             const std::string& below) {
  auto process = std::make_shared<ClientProcess>();
  Enter(*process, pod, below);
  clients_.push_back(process);
  return process;
}

void BrokerProcessTest::Enter(ClientProcess& process, const PodRecord& pod,
                              const std::string& below) {
  const std::string pod_cgroup = cgroup_ + "/kubepods/burstable/pod" + pod.uid;
  const std::string id = NewContainerId();
  container_ids_[pod.uid] = id;
  std::string path = pod_cgroup + "/" + id;
  EXPECT_TRUE(MakeCgroup(pod_cgroup) && MakeCgroup(path));
  std::istringstream components(below);
  for (std::string component; std::getline(components, component, '/');) {
    path += "/" + component;
    EXPECT_TRUE(MakeCgroup(path));
  }
  EXPECT_TRUE(EnterCgroup(path, process.pid()));
}

std::shared_ptr<ClientProcess> BrokerProcessTest::AddClient(const PodRecord& pod) {
  std::shared_ptr<ClientProcess> client = AddProcess(pod);
  EXPECT_TRUE(client->Connect(socket_));
  Send(*client, Hello());
  Receive<wire::Welcome>(*client, wire::MessageType::kWelcome);
  return client;
}

wire::Hello BrokerProcessTest::Hello(uint64_t request_id) {
  auto hello = NewMessage<wire::Hello>(wire::MessageType::kHello, request_id);
  hello.header.speaks_minor = wire::kVersionMinor;
  hello.claimed_pid = 1;
  PutText(hello.library_version, "test");
  return hello;
}

wire::Publish BrokerProcessTest::Publish(const std::string& name, uint32_t device) {
  auto publish = NewMessage<wire::Publish>(wire::MessageType::kPublish, 2);
  PutText(publish.name, name);
  publish.handle_kind = wire::HandleKind::kIpcKey;
  publish.claimed_physical_device = device;
  memcpy(publish.handle, kSecretKey.data(), kSecretKey.size());
  publish.allocation_bytes = 4096;
  publish.view_bytes = 4096;
  return publish;
}

wire::Attach BrokerProcessTest::Attach(const std::string& name, uint32_t wait_milliseconds,
                                       uint32_t device) {
  auto attach = NewMessage<wire::Attach>(wire::MessageType::kAttach, 3);
  PutText(attach.name, name);
  attach.claimed_physical_device = device;
  attach.wait_milliseconds = wait_milliseconds;
  return attach;
}

wire::Admitted BrokerProcessTest::Admitted(const wire::Admit& admit) {
  auto admitted = NewMessage<wire::Admitted>(wire::MessageType::kAdmitted, admit.header.request_id);
  admitted.region_id = admit.region_id;
  admitted.importer_host_pid = admit.importer_host_pid;
  admitted.importer_physical_device = admit.importer_physical_device;
  return admitted;
}

std::string BrokerProcessTest::Log() const {
  std::ifstream file(log_file_);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool BrokerProcessTest::WaitForLog(const std::string& text) const {
  return WaitUntil([&] { return Log().find(text) != std::string::npos; });
}

std::pair<int, std::string> BrokerProcessTest::Get(const std::string& path) const {
  httplib::Client client("127.0.0.1", http_port_);
  const auto answer = client.Get(path);
  return answer ? std::pair(answer->status, answer->body) : std::pair(0, std::string());
}

bool BrokerProcessTest::WaitForMetric(const std::string& line) const {
  return WaitUntil([&] {
    return Get("/metrics").second.find("npu_ipc_broker_" + line + "\n") != std::string::npos;
  });
}

}  // namespace npu_ipc::broker
