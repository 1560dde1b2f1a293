// Whole runs of `kubectl npu`, with a program in the place of kubectl.
#include "plugin/kubectl/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>

#include "tests/unit/plugin/kubectl/fake_kubectl.h"

namespace npu_ipc::kubectl {
namespace {

using nlohmann::json;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kShares[] =
    R"({"apiVersion":"diagnostics.npu-ipc.io/v1","kind":"ShareList","node":"@NODE@","items":[
{"group":"team/weights","region":"shard-0","state":"Shared","bytes":4194304,"generation":7,
 "device":{"physicalId":3,"evidence":"Confirmed"},"ageSeconds":3725,"importerCount":2,
 "whitelistedProcesses":2,"exporter":{"namespace":"team","pod":"loader","hostPid":4242,
"containerPid":7},
 "importers":[
 {"namespace":"team","pod":"trainer-0","hostPid":4300,"containerPid":1,"state":"Imported",
  "ageSeconds":60,"device":{"physicalId":4,"evidence":"Claimed"}},
 {"namespace":"other","pod":"guest","hostPid":4301,"state":"Revoked","ageSeconds":200,
  "device":{"physicalId":5,"evidence":"Contradicted"}}]},
{"group":"other/logs","region":"idle","state":"ExporterAway","bytes":4096,
 "device":{"physicalId":3,"evidence":"Confirmed"},"ageSeconds":5,"importerCount":0,
 "exporter":{"namespace":"other","pod":"writer","hostPid":9},"importers":[]}],
"looseMappings":[{"region":"team/weights/gone","namespace":"team","pod":"trainer-0","hostPid":4300,
 "state":"Dead","ageSeconds":9,"exporterHostPid":77,"exporterDevice":{"physicalId":1},
 "device":{"physicalId":4,"evidence":"Claimed"}}]})";

constexpr char kDevices[] =
    R"({"apiVersion":"diagnostics.npu-ipc.io/v1","kind":"DeviceList","node":"@NODE@",
"view":{"state":"Connected"},"items":[
{"physicalId":3,"id":"npu-3","chip":"910B3","memoryBytes":68719476736,
"resource":"huawei.com/Ascend910",
 "health":{"healthy":true},"holders":[{"namespace":"team","pod":"loader"}],
 "usage":{"aiCorePercent":88,"memoryUsedBytes":17179869184,"temperatureCelsius":51}},
{"physicalId":4,"id":"npu-4","chip":"910B3","memoryBytes":68719476736,
"resource":"huawei.com/Ascend910",
 "health":{"healthy":false,"reason":"fault 0x80"},"holders":[],"usage":{}}]})";

class NpuRun : public FakeKubectlTest {};

TEST_F(NpuRun, SharesAreATable) {
  AddNode("node-a");
  Answer("shares", kShares);
  const Ran ran = Npu({"shares", "-A"});
  EXPECT_EQ(ran.exit_code, 0) << ran.error;
  EXPECT_EQ(
      ran.output,
      "NODE     GROUP          REGION    BYTES    STATE          EXPORTER       DEVICE   IMPORTER  "
      "       DEVICE   MAPPING    AGE\n"
      "node-a   team/weights   shard-0   4Mi      Shared         team/loader    3        "
      "team/trainer-0   4?       Imported   60s\n"
      "node-a   team/weights   shard-0   4Mi      Shared         team/loader    3        "
      "other/guest      5!       Revoked    3m20s\n"
      "node-a   other/logs     idle      4Ki      ExporterAway   other/writer   3        <none>    "
      "       <none>   <none>     5s\n"
      "node-a   team/weights   gone      <none>   ExporterGone   <none>         1        "
      "team/trainer-0   4?       Dead       9s\n");
}

TEST_F(NpuRun, ANamespaceHasWhatConcernsIt) {
  AddNode("node-a");
  Answer("shares", kShares);
  // "team" is that of the context.
  EXPECT_THAT(Npu({"shares"}).output, Not(HasSubstr("idle")));
  const Ran other = Npu({"shares", "-n", "other", "-o", "json"});
  EXPECT_EQ(json::parse(other.output)["items"].size(), 2U);
  const Ran nobody = Npu({"shares", "-n", "nobody"});
  EXPECT_EQ(nobody.exit_code, 0);
  EXPECT_EQ(nobody.output, "");
  EXPECT_EQ(nobody.error, "No resources found in nobody namespace.\n");
}

TEST_F(NpuRun, DevicesAreATable) {
  AddNode("node-a");
  Answer("devices", kDevices);
  EXPECT_EQ(Npu({"devices"}).output,
            "NODE     DEVICE   CHIP    HEALTH      MEMORY   HELD-BY\n"
            "node-a   3        910B3   Healthy     64Gi     team/loader\n"
            "node-a   4        910B3   Unhealthy   64Gi     <none>\n");
  EXPECT_THAT(Npu({"devices", "-o", "wide"}).output, HasSubstr("fault 0x80"));
}

TEST_F(NpuRun, TopHasWhatIsSharedOfEachDevice) {
  AddNode("node-a");
  Answer("devices", kDevices);
  Answer("shares", kShares);
  EXPECT_EQ(Npu({"top", "--no-headers"}).output,
            "node-a   3   88%         16Gi        25%         51C         4Mi   2   2\n"
            "node-a   4   <unknown>   <unknown>   <unknown>   <unknown>   0     0   0\n");
}

TEST_F(NpuRun, PodsSayHowFarTheyAre) {
  AddNode("node-a");
  Answer("pods", R"({"apiVersion":"diagnostics.npu-ipc.io/v1","node":"@NODE@","items":[
{"namespace":"team","name":"bad","annotationError":"npu-ipc.io/group: no role 'owner'",
"allocations":[],"processes":[]},
{"namespace":"team","name":"holder","allocations":[{"devices":[{"physicalId":1},{"physicalId":2}]}],
"processes":[]},
{"namespace":"team","name":"loader","policy":{"groups":[{"name":"team/weights","role":"exporter"},
{"name":"team/x","role":"both"}]},
 "allocations":[],"processes":[{"hostPid":5,"connected":true,"regions":2,"mappings":0}]},
{"namespace":"team","name":"new","policy":{"groups":[{"name":"team/weights","role":"both"}]},
"allocations":[],"processes":[]}]})");
  EXPECT_EQ(
      Npu({"pods"}).output,
      "NAMESPACE   NAME     NODE     STATUS          GROUPS                         DEVICES   "
      "PROCESSES   REGIONS   MAPPINGS\n"
      "team        bad      node-a   BadAnnotation   <none>                         <none>    "
      "0           0         0\n"
      "team        holder   node-a   NotSharing      <none>                         1,2       "
      "0           0         0\n"
      "team        loader   node-a   Sharing         team/weights:exporter,team/x   <none>    "
      "1           2         0\n"
      "team        new      node-a   NotConnected    team/weights                   <none>    "
      "0           0         0\n");
}

TEST_F(NpuRun, AuditFailsWhereSomethingIsCritical) {
  AddNode("node-a");
  Answer("audit", R"({"apiVersion":"diagnostics.npu-ipc.io/v1","node":"@NODE@",
"driverRecords":{"state":"Unknown","problem":"no /proc/svm_shmem"},"items":[]})");
  const Ran unknown = Npu({"audit"});
  EXPECT_EQ(unknown.exit_code, 0);
  EXPECT_THAT(unknown.output, HasSubstr("Unknown    NoDriverRecords"));
  Answer("audit", R"({"apiVersion":"diagnostics.npu-ipc.io/v1","node":"@NODE@",
"driverRecords":{"state":"Read"},"items":[{"severity":"Critical","type":"ValidationOff",
"message":"open to all","exporterPod":"team/loader","exporterHostPid":5,
"regions":["team/weights/a"]}]})");
  const Ran critical = Npu({"audit"});
  EXPECT_EQ(critical.exit_code, 1);
  EXPECT_THAT(critical.output,
              HasSubstr("ValidationOff   team/loader   5          team/weights/a"));
}

TEST_F(NpuRun, EventsAndVersionsAreTables) {
  AddNode("node-a");
  Answer("events", R"({"apiVersion":"diagnostics.npu-ipc.io/v1","node":"@NODE@","items":[
{"type":"Refused","namespace":"team","pod":"bad","reason":"not_in_group","message":"no","count":3,
"ageSeconds":61},{"type":"Refused","namespace":"","pod":"","pid":321,"reason":"not_in_pod",
"message":"no","count":1,"ageSeconds":2}]})");
  EXPECT_THAT(Npu({"events", "-A"}).output,
              HasSubstr("Refused   not_in_pod     <unknown>(pid 321)   1       no\n"));
  EXPECT_EQ(Npu({"events"}).output,
            "LAST SEEN   NODE     TYPE      REASON         POD        COUNT   MESSAGE\n"
            "61s         node-a   Refused   not_in_group   team/bad   3       no\n");
  Answer("version", R"({"apiVersion":"diagnostics.npu-ipc.io/v1","node":"@NODE@",
"brokerVersion":"0.1.0","pluginVersion":"0.1.0","driverVersion":"24.1","view":{"state":"Connected"},
"uptimeSeconds":10})");
  const Ran version = Npu({"version"});
  EXPECT_THAT(version.output, StartsWith("kubectl-npu 0."));
  EXPECT_THAT(version.output,
              HasSubstr("node-a   0.1.0    0.1.0           24.1     Connected   10s"));
}

TEST_F(NpuRun, DocumentsAreWhatTheTableIsMadeOf) {
  AddNode("node-a");
  AddNode("node-b");
  Answer("devices", kDevices);
  const json document = json::parse(Npu({"devices", "-o", "json"}).output);
  EXPECT_EQ(document["apiVersion"], "diagnostics.npu-ipc.io/v1");
  EXPECT_EQ(document["kind"], "DeviceList");
  EXPECT_EQ(document["items"].size(), 4U);
  EXPECT_EQ(document["items"][2]["node"], "node-b");
  const YAML::Node yaml = YAML::Load(Npu({"devices", "-o", "yaml"}).output);
  EXPECT_EQ(yaml["items"][2]["node"].as<std::string>(), "node-b");
}

TEST_F(NpuRun, EveryCallIsKubectlsOwn) {
  AddNode("node-a");
  Answer("shares", kShares);
  Npu({"shares", "--context=prod", "--kubeconfig=/k", "--node=node-a"});
  EXPECT_THAT(Calls(), Each(StartsWith("--context=prod --kubeconfig=/k ")));
  EXPECT_THAT(Calls()[1], HasSubstr("get pods -o json -l app.kubernetes.io/name=npu-ipc "
                                    "--all-namespaces --field-selector=spec.nodeName=node-a"));
  EXPECT_THAT(Calls()[2],
              HasSubstr("exec --namespace=npu-system node-a --container=npu-ipc-broker -- "
                        "npu-ipc-broker query shares"));
}

TEST_F(NpuRun, WhoDoesNotAnswerIsSaidAndNotFatal) {
  for (const char* const node : {"fine", "garbage", "hangs", "newer", "refuses"}) AddNode(node);
  Answer("devices", kDevices);
  Script("garbage", "echo '<html>'");
  Script("hangs", "exec sleep 600");
  Script("newer", R"(echo '{"apiVersion":"diagnostics.npu-ipc.io/v9"}')");
  Script("refuses", "echo 'Error from server (Forbidden): pods is forbidden' >&2; exit 1");
  const Ran ran = Npu({"devices", "--timeout=5"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.output, HasSubstr("fine   3        910B3"));
  EXPECT_THAT(ran.error, HasSubstr("error: node garbage: the broker's answer is no JSON document"));
  EXPECT_THAT(ran.error, HasSubstr("error: node hangs: no answer within 5 s"));
  EXPECT_THAT(ran.error, HasSubstr("error: node newer: the broker answers in version"));
  EXPECT_THAT(ran.error, HasSubstr("error: node refuses: Error from server (Forbidden)"));
}

TEST_F(NpuRun, NothingToBeHadIsAnError) {
  EXPECT_EQ(Npu({"devices"}).exit_code, 1);
  EXPECT_THAT(Npu({"devices"}).error, StartsWith("error: npu-ipc does not run: there is no pod"));
  AddNode("node-a");
  EXPECT_EQ(Npu({"devices"}).exit_code, 1);
  OnCall("get pods -o json", "echo 'Unable to connect to the server' >&2; exit 1");
  const Ran away = Npu({"devices"});
  EXPECT_EQ(away.exit_code, 1);
  EXPECT_EQ(away.error, "error: Unable to connect to the server\n");
}

TEST_F(NpuRun, FiveHundredNodesAreAFewProcesses) {
  constexpr int kNodes = 500;
  for (int i = 0; i < kNodes; ++i) AddNode("node-" + std::to_string(i));
  Answer("devices", kDevices);
  Script("node-7", "exec sleep 600");
  Script("node-8", "exit 1");
  const Ran ran = Npu({"devices", "-o", "json", "--parallel=8", "--timeout=20"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(json::parse(ran.output)["items"].size(), 2U * (kNodes - 2));
  EXPECT_LE(MostAtOnce(), 8);
  EXPECT_GE(MostAtOnce(), 2);
}

TEST_F(NpuRun, AWrongCommandLineIsAnError) {
  const Ran ran = Npu({"frobnicate"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_EQ(ran.error,
            "error: unknown command \"frobnicate\" for \"kubectl npu\"\n"
            "See 'kubectl npu --help' for usage.\n");
  EXPECT_EQ(Npu({"--help"}).exit_code, 0);
  EXPECT_THAT(Npu({"completion", "bash"}).output, HasSubstr("complete -F"));
  EXPECT_EQ(Npu({"completion"}).exit_code, 1);
}

}  // namespace
}  // namespace npu_ipc::kubectl
