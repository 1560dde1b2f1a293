#include "plugin/kubectl/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/plugin/kubectl/fake_kubectl.h"

namespace npu_ipc::kubectl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json RunningPod(const json& container = json::object()) {
  return {{"metadata", {{"namespace", "team"}, {"name", "trainer"}}},
          {"spec", {{"nodeName", "node-a"}, {"containers", {container}}}},
          {"status", {{"phase", "Running"}}}};
}

TEST(DoctorSteps, APendingPodSaysWhatTheSchedulerSays) {
  const json pod = {
      {"status",
       {{"phase", "Pending"},
        {"conditions",
         {{{"status", "False"}, {"message", "0/2 nodes: Insufficient npu-ipc.io/share"}}}}}}};
  const json step = ScheduledStep(pod);
  EXPECT_EQ(step["status"], "Failed");
  EXPECT_THAT(step["message"].get<std::string>(), HasSubstr("Insufficient npu-ipc.io/share"));
  EXPECT_EQ(ScheduledStep(RunningPod())["status"], "Ok");
  json completed = RunningPod();
  completed["status"]["phase"] = "Succeeded";
  EXPECT_EQ(ScheduledStep(completed)["status"], "Failed");
}

TEST(DoctorSteps, APodIsInjectedByWhatItAsksFor) {
  const std::vector<std::string> resources = {"npu-ipc.io/share", "huawei.com/Ascend910"};
  const json asks = {{"resources", {{"limits", {{"huawei.com/Ascend910", "1"}}}}}};
  EXPECT_EQ(InjectedStep(RunningPod(asks), resources, false)["status"], "Ok");
  EXPECT_EQ(InjectedStep(RunningPod(), resources, false)["status"], "Failed");
  EXPECT_EQ(InjectedStep(RunningPod(), resources, true)["status"], "Ok");
  EXPECT_EQ(InjectedStep(RunningPod(), {}, false)["status"], "Unknown");
}

TEST(DoctorSteps, PreloadNeedsItsVariable) {
  json container = {{"resources", {{"limits", {{"npu-ipc.io/share", "1"}}}}}};
  json pod = RunningPod(container);
  pod["metadata"]["annotations"]["npu-ipc.io/inject"] = "preload";
  const json step = InjectedStep(pod, {"npu-ipc.io/share"}, false);
  EXPECT_EQ(step["status"], "Failed");
  EXPECT_THAT(step["remedy"].get<std::string>(), HasSubstr("MutatingAdmissionPolicy"));
  pod["spec"]["containers"][0]["env"] = {
      {{"name", "LD_PRELOAD"}, {"value", "/x.so:/npu/libnpu_ipc_preload.so"}}};
  EXPECT_EQ(InjectedStep(pod, {"npu-ipc.io/share"}, false)["status"], "Ok");
}

TEST(DoctorSteps, APodThatMayNotOpenTheDevicesIsToldWhatItTakes) {
  EXPECT_EQ(DeviceNodesStep(RunningPod()), std::nullopt);
  json own_ids = RunningPod();
  own_ids["spec"]["hostUsers"] = false;
  const std::optional<json> step = DeviceNodesStep(own_ids);
  ASSERT_TRUE(step);
  EXPECT_EQ((*step)["status"], "Unknown");
  EXPECT_THAT((*step)["message"].get<std::string>(), HasSubstr("hostUsers: false"));

  json container = {{"name", "main"}, {"securityContext", {{"capabilities", {{"drop", {"ALL"}}}}}}};
  const std::optional<json> dropped = DeviceNodesStep(RunningPod(container));
  ASSERT_TRUE(dropped);
  EXPECT_THAT((*dropped)["message"].get<std::string>(), HasSubstr("main has dropped"));
  container["securityContext"]["capabilities"]["add"] = {"DAC_OVERRIDE"};
  EXPECT_EQ(DeviceNodesStep(RunningPod(container)), std::nullopt);

  json as_user = RunningPod(container);
  as_user["spec"]["securityContext"]["runAsUser"] = 1000;
  ASSERT_TRUE(DeviceNodesStep(as_user));
  EXPECT_THAT((*DeviceNodesStep(as_user))["message"].get<std::string>(), HasSubstr("user 1000"));
  as_user["spec"]["containers"][0]["securityContext"]["runAsUser"] = 0;  // the container's own wins
  EXPECT_EQ(DeviceNodesStep(as_user), std::nullopt);
}

class DoctorRun : public FakeKubectlTest {
 protected:
  DoctorRun() {
    AddNode("node-a");
    json pod = RunningPod({{"resources", {{"limits", {{"npu-ipc.io/share", "1"}}}}}});
    OnCall("get pod trainer", "echo '" + pod.dump() + "'");
    OnCall("get pod missing",
           "echo 'Error from server (NotFound): pods \"missing\" not found' >&2; "
           "exit 1");
    OnCall("jsonpath",
           "printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "
           "team loader node-b Running '{\"app\":\"x\"}' 'weights:exporter, logs' "
           "team trainer node-a Running '' weights:importer "
           "team plain node-c Running '' '' "
           "team bad node-c Running '' weights:owner "
           "team shard node-c Running '{\"of\":\"weights\"}' \"\\$(labels['of'])\" "
           "team other node-c Running '{\"of\":\"logs\"}' \"\\$(labels['of'])\" "
           "other guest '' Pending '' team/weights");
  }
  void AnswerSteps(const std::string& whitelisted) {
    const json document = {
        {"apiVersion", "diagnostics.npu-ipc.io/v1"},
        {"steps",
         {{{"name", "annotated"}, {"status", "Ok"}, {"message", "groups weights"}},
          {{"name", "connected"}, {"status", "Ok"}, {"message", "1 process"}},
          {{"name", "whitelisted"},
           {"status", whitelisted},
           {"message", "no exporter on this node"},
           {"remedy", "use podAffinity"}}}},
        {"groups", {"team/weights"}},
        {"resources", {"npu-ipc.io/share"}},
        {"members",
         {{{"group", "team/weights"},
           {"namespace", "team"},
           {"pod", "sidecar"},
           {"role", "importer"},
           {"regions", 0}}}}};
    Answer("doctor", document.dump());
  }
};

TEST_F(DoctorRun, NamesTheStepTheRemedyAndWhoIsElsewhere) {
  AnswerSteps("Failed");
  const Ran ran = Npu({"doctor", "trainer"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_EQ(ran.output,
            "pod team/trainer\n"
            "  ok    scheduled      runs on node node-a\n"
            "  ok    daemon         pod npu-system/node-a runs\n"
            "  ok    annotated      groups weights\n"
            "  ok    injected       a process of it has found the broker\n"
            "  ok    connected      1 process\n"
            "  FAIL  whitelisted    no exporter on this node\n"
            "        -> use podAffinity\n"
            "  other members of its groups:\n"
            "        team/weights   team/sidecar (importer)   on this node, 0 published\n"
            "        team/weights   team/loader (exporter)   on node node-b: out of reach\n"
            "        team/weights   team/shard (both)   on node node-c: out of reach\n"
            "        team/weights   other/guest (both)   on no node yet\n");
}

TEST_F(DoctorRun, AllWellIsExitCodeZero) {
  AnswerSteps("Ok");
  EXPECT_EQ(Npu({"doctor", "team/trainer"}).exit_code, 0);
  const Ran ran = Npu({"doctor", "trainer", "-o", "json"});
  const json document = json::parse(ran.output);
  EXPECT_EQ(document["kind"], "DiagnosisList");
  EXPECT_EQ(document["items"][0]["stopsAt"], "");
  EXPECT_EQ(document["items"][0]["members"].size(), 4U);
}

TEST_F(DoctorRun, APodThatIsNotThereIsKubectlsError) {
  const Ran ran = Npu({"doctor", "missing"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.error, HasSubstr("pods \"missing\" not found"));
}

TEST_F(DoctorRun, ABrokerThatDoesNotAnswerIsAStep) {
  Script("node-a", "echo 'error: unable to upgrade connection' >&2; exit 1");
  const Ran ran = Npu({"doctor", "trainer"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.output, HasSubstr("FAIL  daemon"));
  EXPECT_THAT(ran.output, HasSubstr("unable to upgrade connection"));
  EXPECT_THAT(ran.output, Not(HasSubstr("annotated")));
}

TEST_F(DoctorRun, ABrokerThatIsNotReadyIsAStepAndAnswers) {
  AddNode("node-b", /*ready=*/false);
  Answer("doctor", R"({"apiVersion":"diagnostics.npu-ipc.io/v1","steps":[
      {"name":"pods-known","status":"Failed","message":"the API server does not answer"}]})");
  const Ran ran = Npu({"doctor", "--node", "node-b"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.output, HasSubstr("FAIL  daemon         pod npu-system/node-b runs, and its "
                                    "broker is not ready"));
  EXPECT_THAT(ran.output, HasSubstr("/namespaces/npu-system/pods/node-b:9500/proxy/readyz"));
  EXPECT_THAT(ran.output, HasSubstr("the API server does not answer"));
}

TEST_F(DoctorRun, WithoutAPodItIsOfTheNodes) {
  AddNode("node-b");
  Answer("doctor", R"({"apiVersion":"diagnostics.npu-ipc.io/v1","steps":[
      {"name":"registered","status":"Ok","message":"the kubelet of @NODE@ knows it"}]})");
  Script("node-b", "exit 1");
  const Ran ran = Npu({"doctor"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.output, HasSubstr("node node-a\n  ok    daemon"));
  EXPECT_THAT(ran.output, HasSubstr("the kubelet of node-a knows it"));
  EXPECT_THAT(ran.output, HasSubstr("node node-b\n  FAIL  daemon"));
}

}  // namespace
}  // namespace npu_ipc::kubectl
