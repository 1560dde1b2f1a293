// What a broker says of itself at its admin socket, through `npu-ipc-broker query`.
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "hal/base/unix_socket.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using wire::MessageType;

struct Printed {
  int exit_code = -1;
  std::string output;
  std::string error;
  json document;
};

class BrokerQueryTest : public BrokerProcessTest {
 protected:
  Printed Query(std::vector<std::string> arguments, std::function<void()> before = nullptr) {
    arguments.insert(arguments.begin(), {NPU_IPC_BROKER_PROGRAM, "query"});
    arguments.push_back("--socket=" + admin_socket_);
    const std::string errors = directory_.Path("query.log");
    Printed printed;
    Result<ChildProcess> run = ChildProcess::Start(
        {.arguments = arguments, .error_file = errors, .before_exec = std::move(before)});
    if (!run.ok()) return printed;
    for (Result<std::string> line = run->ReadLine(); line.ok(); line = run->ReadLine()) {
      printed.output += *line + "\n";
    }
    const Result<int> exit_code = run->Wait();
    printed.exit_code = exit_code.ok() ? *exit_code : -1;
    printed.document = json::parse(printed.output, nullptr, false);
    std::ifstream file(errors);
    printed.error = {std::istreambuf_iterator<char>(file), {}};
    EXPECT_THAT(printed.output, Not(HasSubstr(kSecretKey)));
    return printed;
  }
  json Document(const std::vector<std::string>& arguments) {
    const Printed printed = Query(arguments);
    EXPECT_EQ(printed.exit_code, 0) << printed.error;
    EXPECT_EQ(printed.document.value("apiVersion", ""), "diagnostics.npu-ipc.io/v1");
    return printed.document;
  }
  void ShareShard() {
    exporter_pod_ = AddPod("exporter", "weights:exporter");
    importer_pod_ = AddPod("importer", "weights:importer");
    exporter_ = AddClient(exporter_pod_);
    importer_ = AddClient(importer_pod_);
    Send(*exporter_, Publish("shard", 3));
    Receive<wire::Published>(*exporter_, MessageType::kPublished);
    Send(*importer_, Attach("shard", 10000, 4));
    Send(*exporter_, Admitted(Receive<wire::Admit>(*exporter_, MessageType::kAdmit)));
    auto imported = NewMessage<wire::Imported>(MessageType::kImported, 0);
    imported.grant_id = Receive<wire::Grant>(*importer_, MessageType::kGrant).grant_id;
    Send(*importer_, imported);
  }

  PodRecord exporter_pod_;
  PodRecord importer_pod_;
  std::shared_ptr<ClientProcess> exporter_;
  std::shared_ptr<ClientProcess> importer_;
};

TEST_F(BrokerQueryTest, TellsWhatIsSharedWithWhom) {
  StartBroker({"--node-name=node-a"});
  ShareShard();
  json shares;
  ASSERT_TRUE(WaitUntil([&] {  // Imported is not answered
    shares = Document({"shares"});
    return shares["items"].size() == 1 && shares["items"][0]["importers"].size() == 1 &&
           shares["items"][0]["importers"][0]["state"] == "Imported";
  }));
  EXPECT_EQ(shares["kind"], "ShareList");
  EXPECT_EQ(shares["node"], "node-a");
  const json& share = shares["items"][0];
  EXPECT_EQ(share["group"], "team/weights");
  EXPECT_EQ(share["region"], "shard");
  EXPECT_EQ(share["state"], "Shared");
  EXPECT_EQ(share["bytes"], 4096);
  EXPECT_EQ(share["device"], json({{"physicalId", 3}, {"evidence", "Claimed"}}));
  EXPECT_EQ(share["exporter"]["pod"], "exporter");
  EXPECT_EQ(share["exporter"]["uid"], exporter_pod_.uid);
  EXPECT_EQ(share["exporter"]["hostPid"], exporter_->pid());
  EXPECT_EQ(share["exporter"]["containerPid"], exporter_->pid());
  EXPECT_EQ(share["importers"][0]["hostPid"], importer_->pid());
  EXPECT_EQ(share["importers"][0]["device"]["physicalId"], 4);
}

TEST_F(BrokerQueryTest, TellsWhichPodsAskForWhat) {
  StartBroker();
  ShareShard();
  AddPod("wrong", "weights:owner");
  AddPod("other", "");
  json pods;
  ASSERT_TRUE(WaitUntil([&] {
    pods = Document({"pods"});
    return pods["items"].size() == 3;
  }));
  EXPECT_EQ(pods["items"][0]["name"], "exporter");
  EXPECT_EQ(pods["items"][0]["policy"]["groups"],
            json::array({{{"name", "team/weights"}, {"role", "exporter"}}}));
  EXPECT_EQ(pods["items"][0]["processes"][0]["regions"], 1);
  EXPECT_EQ(pods["items"][1]["processes"][0]["mappings"], 1);
  EXPECT_EQ(pods["items"][2]["name"], "wrong");
  EXPECT_THAT(pods["items"][2]["annotationError"], HasSubstr("npu-ipc.io/group"));
  EXPECT_EQ(pods["directory"]["pods"], 4);
}

TEST_F(BrokerQueryTest, ListsMoreThanAPage) {
  StartBroker();
  const auto exporter = AddClient(AddPod("exporter", "weights"));
  constexpr size_t kRegions = 2100;
  for (size_t i = 0; i < kRegions; ++i) {
    Send(*exporter, Publish("shard-" + std::to_string(i)));
    Receive<wire::Published>(*exporter, MessageType::kPublished);
  }
  const json shares = Document({"shares"});
  ASSERT_EQ(shares["items"].size(), kRegions);
  EXPECT_EQ(shares["items"][0]["region"], "shard-0");
  EXPECT_EQ(shares["items"][kRegions - 1]["region"], "shard-2099");
}

TEST_F(BrokerQueryTest, RemembersWhoWasRefusedBeforeItsPodWasKnown) {
  StartBroker({"--pods-wait-timeout=0s"});
  ClientProcess outside;
  const auto stranger = AddProcess(PodRecord{"team", "stranger", RandomUid(), {}});
  for (ClientProcess* const process : {&outside, &*stranger}) {
    ASSERT_TRUE(process->Connect(socket_));
    Send(*process, Hello());
    ReceiveRefused(*process);
  }
  const json events = Document({"events"})["items"];
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0]["reason"], "not_in_pod");
  EXPECT_EQ(events[0]["pid"], outside.pid());
  EXPECT_EQ(events[0]["podUid"], "");
  EXPECT_THAT(events[0]["message"], HasSubstr("process " + std::to_string(outside.pid())));
  EXPECT_EQ(events[1]["reason"], "unknown_pod");
  EXPECT_EQ(events[1]["pid"], stranger->pid());
  EXPECT_NE(events[1]["podUid"], "");
}

TEST_F(BrokerQueryTest, RemembersWhoWasRefusedAndSaysWhereAPodIsStuck) {
  StartBroker({"--node-name=node-a"});
  const auto importer = AddClient(AddPod("importer", "weights:importer"));
  Send(*importer, Publish("shard"));
  ReceiveRefused(*importer);
  const json events = Document({"events"});
  ASSERT_EQ(events["items"].size(), 1U);
  EXPECT_EQ(events["items"][0]["pod"], "importer");
  EXPECT_EQ(events["items"][0]["reason"], "role_denied");
  EXPECT_FALSE(events["items"][0].contains("pid"));

  const json diagnosis = Document({"doctor", "team/importer"});
  EXPECT_EQ(diagnosis["groups"], json::array({"team/weights"}));
  std::map<std::string, json> steps;
  for (const json& step : diagnosis["steps"]) steps[step["name"]] = step;
  EXPECT_EQ(steps["annotated"]["status"], "Ok");
  EXPECT_EQ(steps["connected"]["status"], "Ok");
  EXPECT_EQ(steps["allowed"]["status"], "Ok");
  EXPECT_EQ(steps["whitelisted"]["status"], "Failed");
  EXPECT_THAT(steps["whitelisted"]["message"], HasSubstr("no exporter on this node"));
  EXPECT_THAT(steps["whitelisted"]["message"], HasSubstr("last refused"));
}

TEST_F(BrokerQueryTest, HoldsTheDriversRecordsAgainstWhatItGranted) {
  const std::string records = directory_.Path("records");
  ASSERT_EQ(::mkdir(records.c_str(), 0700), 0);
  StartBroker({"--driver-records-directory=" + records});
  const auto write = [&](const std::string& key, pid_t creator, const std::string& rest) {
    std::ofstream(records + "/" + key)
        << "Ipc node detail:\nname=" << key << ";devid=3;pid=" << creator
        << ";len=4096;page_size=4096;valid=1;" << rest;
  };
  exporter_ = AddClient(exporter_pod_ = AddPod("exporter", "weights:exporter"));
  const pid_t own = ::getpid();
  write(kSecretKey, exporter_->pid(),
        "need_set_wlist=1\nWhite List:\n   [0]:sdid=4294967295;pid=" + std::to_string(own) +
            ";set_time=5;vptr=0x0\n");
  Send(*exporter_, Publish("shard", 3));
  Receive<wire::Published>(*exporter_, MessageType::kPublished);
  write(std::string(64, 'a'), own, "need_set_wlist=0\nWhite List:\n");

  const json audit = Document({"audit"});
  EXPECT_EQ(audit["driverRecords"]["state"], "Read");
  EXPECT_EQ(audit["summary"]["brokered"], 1);
  EXPECT_EQ(audit["summary"]["unmanaged"], 1);
  std::map<std::string, json> findings;
  for (const json& finding : audit["items"]) findings[finding["type"]] = finding;
  ASSERT_EQ(findings.size(), 2U) << audit.dump(1);
  EXPECT_EQ(findings["UngrantedProcess"]["exporterPod"], "team/exporter");
  EXPECT_EQ(findings["UngrantedProcess"]["regions"], json::array({"team/weights/shard"}));
  EXPECT_EQ(findings["ValidationOff"]["exporterHostPid"], own);
}

TEST_F(BrokerQueryTest, SaysWhatItDoesNotKnow) {
  StartBroker({"--driver-records-directory=" + directory_.Path("none")});
  EXPECT_EQ(Document({"audit"})["driverRecords"]["state"], "Unknown");
  const json devices = Document({"devices"});
  EXPECT_EQ(devices["view"]["state"], "Never");
  EXPECT_EQ(devices["items"], json::array());
  const json version = Document({"version"});
  EXPECT_FALSE(version["brokerVersion"].get<std::string>().empty());
}

TEST_F(BrokerQueryTest, AnswersRootAlone) {
  StartBroker();
  struct stat made = {};
  ASSERT_EQ(::stat(admin_directory_.Path("admin").c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 07777U, 0700U);
  ASSERT_EQ(::stat(admin_socket_.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 07777U, 0600U);

  // Whoever can reach the file after all is asked who he is.
  ASSERT_EQ(::chmod(admin_directory_.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(admin_directory_.Path("admin").c_str(), 0755), 0);
  ASSERT_EQ(::chmod(admin_socket_.c_str(), 0666), 0);
  const Printed refused = Query({"shares"}, [] {
    if (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(99);
  });
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(refused.output, "");
  EXPECT_TRUE(WaitForLog("admin request refused: uid=65534"));
  EXPECT_EQ(Query({"shares"}).exit_code, 0);
}

TEST_F(BrokerQueryTest, AWrongQuestionIsSaid) {
  StartBroker();
  EXPECT_EQ(Query({"nonsense"}).exit_code, 2);
  EXPECT_EQ(Query({}).exit_code, 2);
  EXPECT_EQ(Query({"doctor", "no-namespace"}).exit_code, 2);
  admin_socket_ = directory_.Path("nobody.sock");
  const Printed nobody = Query({"shares"});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.error, HasSubstr("nobody.sock"));
}

TEST_F(BrokerQueryTest, EndsWhileItIsAsked) {
  StartBroker();
  const Result<UniqueFd> silent = ConnectUnix(admin_socket_);  // the one that it is waiting for
  ASSERT_TRUE(silent.ok());
  broker_->Signal(SIGTERM);
  const Result<int> ended = broker_->Wait();
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(*ended, 0);
}

TEST_F(BrokerQueryTest, ItsSocketIsNeverWhereContainersSeeIt) {
  admin_socket_ = directory_.Path("below/admin.sock");
  EXPECT_EQ(RunBroker({"--socket-path=" + socket_, "--pods-file=" + pods_file_}), 2);
  EXPECT_THAT(Log(), HasSubstr("which containers see"));
}

}  // namespace
}  // namespace npu_ipc::broker
