// Regions that are known by their keys, and pids of other namespaces.
#include "gmock/gmock.h"
#include "runtime/protocol/key_name.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;
using wire::MessageType;
using wire::Status;

std::string NameOf(const std::string& key) {
  char name[wire::kKeyNameBytes];
  wire::MakeKeyName(key.data(), key.size(), name);
  return name;
}

TEST(KeyName, IsTheSameForTheSameKeyAlone) {
  EXPECT_THAT(NameOf("a"), StartsWith("key-"));
  EXPECT_EQ(NameOf("a").size(), wire::kKeyNameBytes - 1);
  EXPECT_EQ(NameOf("a"), NameOf("a"));
  EXPECT_NE(NameOf("a"), NameOf("b"));
  // FNV-1a's published value for "a" in 128 bits.
  EXPECT_EQ(NameOf("a"), "key-d228cb696f1a8caf78912b704e4a8964");
}

class ShareByKeyTest : public ShareRegistryTest {
 protected:
  void SetUp() override {
    exporter_ = AddMember(10, "pod-a", 1);
    importer_ = AddMember(20, "pod-b", 7);
    AfterReclaimWindow();
  }

  ClientId AddMember(pid_t pid, const std::string& pod, pid_t own_pid) {
    ClientInfo info;
    info.process = {pid, 1};
    info.pod_namespace = "team";
    info.pod_name = pod;
    info.pod_uid = info.pod_cgroup_uid = "uid-" + pod;
    info.speaks_minor = wire::kVersionMinor;
    info.own_pid = own_pid;
    return registry_.AddClient(info);
  }

  void AfterReclaimWindow() { Advance(ShareLimits().reclaim_window); }

  wire::Published PublishKey(ClientId client) { return Publish(client, NameOf("key"), 0, "key"); }

  void AttachKey(ClientId client) {
    auto request = NewMessage<wire::Attach>(MessageType::kAttachPublished, ++request_id_);
    PutText(request.name, NameOf("key"));
    request.wait_milliseconds = 10000;
    registry_.Attach(client, kGroup, request);
  }

  std::vector<int> Translate(ClientId client, const std::vector<int>& pids) {
    auto request = NewMessage<wire::TranslatePids>(MessageType::kTranslatePids, ++request_id_);
    request.count = static_cast<uint32_t>(pids.size());
    std::copy(pids.begin(), pids.end(), request.pids);
    registry_.TranslatePids(client, {kGroup}, request);
    const auto answer = Take<wire::PidsTranslated>(client, MessageType::kPidsTranslated);
    return {answer.pids, answer.pids + answer.count};
  }

  ClientId exporter_ = 0;
  ClientId importer_ = 0;
};

TEST_F(ShareByKeyTest, WhoHasTheKeyIsLetIn) {
  PublishKey(exporter_);
  AttachKey(importer_);
  Answer(exporter_, Take<wire::Admit>(exporter_, MessageType::kAdmit));
  EXPECT_STREQ(
      reinterpret_cast<const char*>(Take<wire::Grant>(importer_, MessageType::kGrant).handle),
      "key");
}

TEST_F(ShareByKeyTest, AKeyThatNobodyPublishedIsAnsweredAtOnceAndNoDenial) {
  AttachKey(importer_);
  EXPECT_EQ(TakeRefused(importer_).status, Status::kNotFound);
  EXPECT_THAT(context_.refused[importer_], IsEmpty());
  context_.no_import.insert(importer_);
  AttachKey(importer_);
  EXPECT_EQ(TakeRefused(importer_).status, Status::kNotFound);
  EXPECT_THAT(context_.refused[importer_], IsEmpty());
}

TEST_F(ShareByKeyTest, AnExporterThatWithdrawsMeanwhileIsNotWaitedFor) {
  const wire::Published region = PublishKey(exporter_);
  AttachKey(importer_);
  Take<wire::Admit>(exporter_, MessageType::kAdmit);
  Withdraw(exporter_, region.region_id, 0);
  EXPECT_EQ(TakeRefused(importer_).status, Status::kExporterGone);
}

TEST_F(ShareByKeyTest, APodThatMayNotImportIsRefusedWhatIsThere) {
  PublishKey(exporter_);
  context_.no_import.insert(importer_);
  AttachKey(importer_);
  EXPECT_EQ(TakeRefused(importer_).status, Status::kRoleDenied);
  EXPECT_THAT(context_.refused[importer_], ElementsAre(Status::kRoleDenied));
}

TEST_F(ShareByKeyTest, ProcessesOfOnePodNeedNoLeave) {
  const ClientId sibling = AddMember(11, "pod-a", 2);
  PublishKey(exporter_);
  context_.no_import.insert(sibling);
  AttachKey(sibling);
  Answer(exporter_, Take<wire::Admit>(exporter_, MessageType::kAdmit));
  Take<wire::Grant>(sibling, MessageType::kGrant);
}

TEST_F(ShareByKeyTest, ANameOfThatFormIsItsKeysAlone) {
  registry_.Publish(importer_, kGroup, PublishRequest(NameOf("key"), 0, "another"));
  EXPECT_EQ(TakeRefused(importer_).status, Status::kClaimContradicted);
  registry_.Publish(importer_, kGroup, PublishRequest("key-1", 0, "another"));
  Take<wire::Published>(importer_, MessageType::kPublished);
}

TEST_F(ShareByKeyTest, AnExportWithoutPidValidationIsKnownAsSuch) {
  wire::Publish request = PublishRequest(NameOf("key"), 0, "key");
  request.handle_kind = wire::HandleKind::kOpenIpcKey;
  registry_.Publish(exporter_, kGroup, request);
  Take<wire::Published>(exporter_, MessageType::kPublished);
  AttachKey(importer_);
  Answer(exporter_, Take<wire::Admit>(exporter_, MessageType::kAdmit));
  EXPECT_EQ(Take<wire::Grant>(importer_, MessageType::kGrant).handle_kind,
            wire::HandleKind::kOpenIpcKey);
}

TEST_F(ShareByKeyTest, TranslatesPidsThatMeanOneProcess) {
  EXPECT_THAT(Translate(exporter_, {7, 99, 20, 1}), ElementsAre(20, 99, 20, 1))
      << "one of a namespace, nobody's, a host pid, its own";
  const ClientId other = AddMember(30, "pod-c", 7);
  EXPECT_THAT(Translate(exporter_, {7}), ElementsAre(7)) << "two have it";
  context_.denied.insert({"uid-pod-a", "uid-pod-c"});
  EXPECT_THAT(Translate(exporter_, {7}), ElementsAre(20)) << "only one of them may import";
  context_.denied.clear();
  registry_.Remove(other);
  EXPECT_THAT(Translate(exporter_, {7}), ElementsAre(20));
  AddMember(7, "pod-d", 1);
  EXPECT_THAT(Translate(exporter_, {7}), ElementsAre(7)) << "a host pid of somebody else's";
}

class AfterARestart : public ShareByKeyTest {
 protected:
  void SetUp() override {
    exporter_ = AddMember(10, "pod-a", 1);
    importer_ = AddMember(20, "pod-b", 7);
  }
};

TEST_F(AfterARestart, ExportersMayComeBack) {
  AttachKey(importer_);
  EXPECT_TRUE(NothingSent(importer_));
  PublishKey(exporter_);
  Answer(exporter_, Take<wire::Admit>(exporter_, MessageType::kAdmit));
  Take<wire::Grant>(importer_, MessageType::kGrant);
}

TEST_F(AfterARestart, ExportersAreNotWaitedForLongerThanThat) {
  AttachKey(importer_);
  AfterReclaimWindow();
  EXPECT_EQ(TakeRefused(importer_).status, Status::kNotFound);
  EXPECT_THAT(context_.refused[importer_], IsEmpty());
}

}  // namespace
}  // namespace npu_ipc::broker
