#include "plugin/broker/pod_rights.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npu_ipc::broker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TablePodDirectory final : public pods::PodDirectory {
 public:
  std::shared_ptr<const pods::Pod> Find(const std::string& uid) const override {
    return table.Find(uid);
  }
  pods::DirectoryState state() const override { return {}; }
  void OnChange(Listener) override {}
  void Refresh() override {}

  pods::PodTable table;
};

class PodRightsTest : public testing::Test {
 protected:
  // Its uid is its name.
  void SetPod(const std::string& pod_namespace, const std::string& name,
              const std::map<std::string, std::string>& annotations) {
    pods::Pod pod;
    pod.uid = name;
    pod.pod_namespace = pod_namespace;
    pod.name = name;
    for (const auto& [key, value] : annotations) pod.annotations["npu-ipc.io/" + key] = value;
    pods_[name] = pod;
    Tell();
  }
  void DeletePod(const std::string& name) {
    pods_.erase(name);
    Tell();
  }
  void Tell() {
    std::vector<pods::Pod> all;
    for (const auto& [name, pod] : pods_) all.push_back(pod);
    const PodRights::Changes changes = rights_.OnPodsChanged(directory_.table.Replace(all));
    changed_pods_ = changes.pods;
    changed_namespaces_ = changes.owner_namespaces;
  }
  // kOk where it may.
  wire::Status Right(const std::string& pod, ShareRight right) {
    const auto member = rights_.MemberOf(pod);
    const auto refusal = rights_.CheckRight(*member, kGroup, right);
    if (refusal) reason_ = refusal->reason;
    return refusal ? refusal->status : wire::Status::kOk;
  }
  wire::Status Share(const std::string& exporter, const std::string& importer) {
    const auto refusal = rights_.CheckShare(exporter, importer, kGroup);
    return refusal ? refusal->status : wire::Status::kOk;
  }

  const GroupKey kGroup{"team-a", "weights"};
  TablePodDirectory directory_;
  pods::ClusterPolicy cluster_{.cross_namespace = true};
  PodRights rights_{directory_, cluster_};
  std::map<std::string, pods::Pod> pods_;
  std::vector<std::string> changed_pods_;
  std::set<std::string> changed_namespaces_;
  std::string reason_;
};

TEST_F(PodRightsTest, AGuestImportsFromWhoAllowsIt) {
  SetPod("team-a", "owner", {{"group", "weights"}, {"allow-namespaces", "team-b"}});
  SetPod("team-a", "closed", {{"group", "weights"}});
  SetPod("team-b", "guest", {{"group", "team-a/weights"}});
  EXPECT_EQ(Right("guest", ShareRight::kImport), wire::Status::kOk);
  EXPECT_EQ(Share("owner", "guest"), wire::Status::kOk);
  EXPECT_EQ(Share("closed", "guest"), wire::Status::kNamespaceDenied);
  EXPECT_EQ(Share("closed", "owner"), wire::Status::kOk);
}

TEST_F(PodRightsTest, AGuestExportsOnceSomebodyAllowsIt) {
  SetPod("team-b", "guest", {{"group", "team-a/weights"}});
  EXPECT_EQ(Right("guest", ShareRight::kExport), wire::Status::kNamespaceDenied);
  EXPECT_THAT(reason_, HasSubstr("'team-b:exporter'"));
  SetPod("team-a", "owner", {{"group", "weights"}, {"allow-namespaces", "team-b"}});
  EXPECT_THAT(changed_namespaces_, ElementsAre("team-a"));
  EXPECT_EQ(Right("guest", ShareRight::kExport), wire::Status::kNamespaceDenied)
      << "importer unless more is said";
  SetPod("team-a", "owner", {{"group", "weights"}, {"allow-namespaces", "team-b:exporter"}});
  EXPECT_EQ(Right("guest", ShareRight::kExport), wire::Status::kOk);
  SetPod("team-a", "owner", {{"group", "weights"}});
  EXPECT_THAT(changed_namespaces_, ElementsAre("team-a"));
  EXPECT_EQ(Right("guest", ShareRight::kExport), wire::Status::kNamespaceDenied);
  SetPod("team-a", "owner", {{"group", "other"}, {"allow-namespaces", "team-b:both"}});
  EXPECT_EQ(Right("guest", ShareRight::kExport), wire::Status::kNamespaceDenied)
      << "of a group that it is in itself";
  DeletePod("owner");
  EXPECT_THAT(changed_namespaces_, ElementsAre("team-a"));
}

TEST_F(PodRightsTest, AGuestSeesAGroupOnceSomebodyLetsItIn) {
  SetPod("team-b", "guest", {{"group", "team-a/weights"}});
  EXPECT_EQ(Right("guest", ShareRight::kSee), wire::Status::kNamespaceDenied);
  EXPECT_THAT(reason_, HasSubstr("needs 'team-b' in its npu-ipc.io/allow-namespaces"));
  SetPod("team-a", "owner", {{"group", "weights"}});
  EXPECT_EQ(Right("guest", ShareRight::kSee), wire::Status::kNamespaceDenied);
  EXPECT_EQ(Right("owner", ShareRight::kSee), wire::Status::kOk);
  SetPod("team-a", "owner", {{"group", "weights"}, {"allow-namespaces", "team-b"}});
  EXPECT_EQ(Right("guest", ShareRight::kSee), wire::Status::kOk);
  SetPod("team-a", "owner", {{"group", "weights"}, {"allow-namespaces", "team-b:exporter"}});
  EXPECT_EQ(Right("guest", ShareRight::kSee), wire::Status::kOk);
  SetPod("team-b", "stranger", {{"group", "logs"}});
  EXPECT_EQ(Right("stranger", ShareRight::kSee), wire::Status::kNotInGroup);
}

TEST_F(PodRightsTest, PodsThatAllowNobodyChangeNoGuestsRights) {
  SetPod("team-a", "owner", {{"group", "weights"}});
  EXPECT_THAT(changed_namespaces_, IsEmpty());
  DeletePod("owner");
  EXPECT_THAT(changed_namespaces_, IsEmpty());
}

TEST_F(PodRightsTest, TheClustersPolicyIsThatOfTheMoment) {
  SetPod("team-a", "owner", {{"group", "weights"}, {"allow-namespaces", "team-b:both"}});
  SetPod("team-b", "guest", {{"group", "team-a/weights"}});
  EXPECT_EQ(Right("guest", ShareRight::kExport), wire::Status::kOk);
  cluster_.cross_namespace = false;
  EXPECT_EQ(Right("guest", ShareRight::kExport), wire::Status::kPolicyDenied);
  EXPECT_EQ(Share("owner", "guest"), wire::Status::kPolicyDenied);
  cluster_.denied_namespaces = {"team-a"};
  EXPECT_EQ(Right("owner", ShareRight::kExport), wire::Status::kPolicyDenied);
}

TEST_F(PodRightsTest, LimitsOfThePodAndTheCluster) {
  SetPod("team-a", "owner", {{"group", "weights"}, {"max-bytes", "10"}});
  EXPECT_FALSE(rights_.CheckExport("owner", 10, {}, {}));
  EXPECT_EQ(rights_.CheckExport("owner", 10, {1, 1}, {})->status, wire::Status::kQuotaExceeded);
  cluster_.max_regions_per_node = 2;
  EXPECT_EQ(rights_.CheckExport("owner", 0, {}, {0, 2})->status, wire::Status::kLimit);
}

TEST_F(PodRightsTest, HowRightsAreTakenBackIsKnownAsLongAsThePodSaysIt) {
  SetPod("team-a", "owner", {{"group", "weights"}, {"revoke", "rotate"}});
  EXPECT_EQ(rights_.RevokeModeOf("owner"), pods::RevokeMode::kRotate);
  SetPod("team-a", "owner", {{"group", "weights"}});
  EXPECT_EQ(rights_.RevokeModeOf("owner"), pods::RevokeMode::kNotify);
  SetPod("team-a", "owner", {{"revoke", "rotate"}});
  EXPECT_EQ(rights_.RevokeModeOf("owner"), std::nullopt) << "it is in no group";
  DeletePod("owner");
  EXPECT_EQ(rights_.RevokeModeOf("owner"), std::nullopt);
}

TEST_F(PodRightsTest, AChangeOfThePodsStatusIsNoneOfItsRights) {
  SetPod("team-a", "owner", {{"group", "weights"}, {"allow-namespaces", "team-b"}});
  SetPod("team-a", "plain", {{"group", "weights"}});
  const auto plain = rights_.MemberOf("plain");
  plain->pod();
  for (const char* name : {"owner", "plain"}) pods_[name].containers = {{"main", "id"}};
  Tell();
  EXPECT_THAT(changed_pods_, IsEmpty());
  EXPECT_THAT(changed_namespaces_, IsEmpty());
  SetPod("team-a", "plain", {{"group", "weights:importer"}});
  EXPECT_THAT(changed_pods_, ElementsAre("plain"));
  DeletePod("plain");
  EXPECT_THAT(changed_pods_, ElementsAre("plain"));
}

TEST_F(PodRightsTest, ThePodsProcessesHaveOneMember) {
  SetPod("team-a", "owner", {{"group", "weights"}});
  const auto first = rights_.MemberOf("owner");
  EXPECT_EQ(rights_.MemberOf("owner"), first);
  EXPECT_NE(rights_.MemberOf("other"), first);
}

}  // namespace
}  // namespace npu_ipc::broker
