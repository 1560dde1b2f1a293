#include "plugin/broker/member.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;

class FakePodDirectory final : public pods::PodDirectory {
 public:
  void Set(const std::string& group_annotation) {
    pods::Pod pod;
    pod.uid = "u";
    pod.pod_namespace = "team";
    pod.name = "trainer";
    if (!group_annotation.empty()) pod.annotations["npu-ipc.io/group"] = group_annotation;
    table_.Replace({pod});
  }
  void Clear() { table_.Replace({}); }

  std::shared_ptr<const pods::Pod> Find(const std::string& uid) const override {
    return table_.Find(uid);
  }
  void SetSynced() { synced_ = true; }
  pods::DirectoryState state() const override {
    return {false, "it is away", table_.size(), synced_};
  }
  void OnChange(Listener) override {}
  void Refresh() override {}

 private:
  pods::PodTable table_;
  bool synced_ = false;
};

class MemberTest : public testing::Test {
 protected:
  Refusal ResolveRefused(std::string_view group) {
    const auto resolved = member_.Resolve(group);
    if (const auto* refusal = std::get_if<Refusal>(&resolved)) return *refusal;
    ADD_FAILURE() << "was not refused";
    return {};
  }

  FakePodDirectory directory_;
  Member member_{directory_, "u"};
};

TEST_F(MemberTest, FollowsThePodAsTheDirectoryHasIt) {
  EXPECT_EQ(ResolveRefused("").status, wire::Status::kUnknownPod);
  EXPECT_THAT(ResolveRefused("").reason, HasSubstr("it is away"));
  directory_.Set("weights");
  EXPECT_EQ(std::get<GroupKey>(member_.Resolve("")), (GroupKey{"team", "weights"}));
  directory_.Set("");
  EXPECT_EQ(ResolveRefused("").status, wire::Status::kNoGroup);
  directory_.Set("weights:nonsense");
  EXPECT_EQ(ResolveRefused("").status, wire::Status::kBadAnnotation);
  directory_.Set("other/weights");
  EXPECT_EQ(ResolveRefused("").status, wire::Status::kUnsupported);
  directory_.Clear();
  EXPECT_EQ(ResolveRefused("").status, wire::Status::kUnknownPod);
}

TEST_F(MemberTest, AnEmptyNameIsTheOnlyGroupAndElseMustBeNamed) {
  directory_.Set("a,b:importer");
  EXPECT_EQ(ResolveRefused("").status, wire::Status::kNotInGroup);
  EXPECT_THAT(ResolveRefused("").reason, HasSubstr("several groups (a, b)"));
  EXPECT_EQ(std::get<GroupKey>(member_.Resolve("b")), (GroupKey{"team", "b"}));
  EXPECT_EQ(ResolveRefused("c").status, wire::Status::kNotInGroup);
  EXPECT_THAT(ResolveRefused("c").reason, HasSubstr("names a, b"));
}

TEST_F(MemberTest, GetsNothingNewBeforeTheDirectoryHasReadItsSource) {
  directory_.Set("weights");
  const auto refused = member_.ResolveForNew("");
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused));
  EXPECT_EQ(std::get<Refusal>(refused).status, wire::Status::kUnknownPod);
  EXPECT_THAT(std::get<Refusal>(refused).reason, HasSubstr("(it is away)"));
  EXPECT_EQ(member_.CheckRight({"team", "weights"}, ShareRight::kImport), std::nullopt);
  directory_.SetSynced();
  EXPECT_EQ(std::get<GroupKey>(member_.ResolveForNew("")), (GroupKey{"team", "weights"}));
  directory_.Set("weights:nonsense");
  EXPECT_EQ(std::get<Refusal>(member_.ResolveForNew("")).status, wire::Status::kBadAnnotation);
}

TEST_F(MemberTest, RolesDecide) {
  directory_.Set("a:exporter,b:importer,c");
  const auto allowed = [&](const char* group, ShareRight right) {
    const std::optional<Refusal> refusal = member_.CheckRight({"team", group}, right);
    EXPECT_TRUE(!refusal || refusal->status == wire::Status::kRoleDenied);
    return !refusal;
  };
  EXPECT_TRUE(allowed("a", ShareRight::kExport));
  EXPECT_FALSE(allowed("a", ShareRight::kImport));
  EXPECT_FALSE(allowed("b", ShareRight::kExport));
  EXPECT_TRUE(allowed("b", ShareRight::kImport));
  EXPECT_TRUE(allowed("c", ShareRight::kExport));
  EXPECT_TRUE(allowed("c", ShareRight::kImport));
  EXPECT_EQ(member_.CheckRight({"team", "d"}, ShareRight::kImport)->status,
            wire::Status::kNotInGroup);
}

}  // namespace
}  // namespace npu_ipc::broker
