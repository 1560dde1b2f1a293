// The kubelet's life, and what a resource's registration makes of it.
#include "plugin/kubelet/kubelet_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/fake_kubelet.h"
#include "tests/fixtures/child_process.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/plugin/kubelet/fake_resource.h"
#include "tests/unit/plugin/kubelet/loop_thread.h"

namespace npu_ipc::kubelet {
namespace {

using ::testing::UnorderedElementsAre;

constexpr char kName[] = "example.com/npu";
constexpr char kOther[] = "example.com/other";

class KubeletSessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    settings_.directory = directory_.Path("dp");
    settings_.last_retry = std::chrono::milliseconds(400);
  }
  void TearDown() override { StopSession(); }

  void StartKubelet() {
    auto kubelet = FakeKubelet::Start(settings_.directory);
    ASSERT_TRUE(kubelet.ok()) << kubelet.status().message();
    kubelet_ = std::move(*kubelet);
  }
  void StartSession() {
    CreateSession();
    AddResource();
  }
  void CreateSession() {
    loop_.Do([&] {
      auto session = KubeletSession::Create(loop_.loop(), settings_);
      ASSERT_TRUE(session.ok()) << session.status().message();
      session_ = std::move(*session);
    });
  }
  void AddResource() {
    loop_.Do([&] {
      const Status added = session_->Add(resource_);
      EXPECT_TRUE(added.ok()) << added.message();
    });
  }
  void StopSession() {
    loop_.Do([&] { session_.reset(); });
  }
  void ExpectServed(size_t healthy = 2) {
    const Status waited = kubelet_->WaitForHealthyDevices(kName, healthy);
    EXPECT_TRUE(waited.ok()) << waited.message();
    const auto changes = kubelet_->Allocate(kName, {"a"});
    EXPECT_TRUE(changes.ok()) << changes.status().message();
  }
  std::string Socket() const { return settings_.directory + "/npu-ipc-example.com_npu.sock"; }
  // Waits for what only the loop's thread may look at.
  bool Eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    bool holds = false;
    while (!holds && std::chrono::steady_clock::now() < deadline)
      loop_.Do([&] { holds = condition(); });
    return holds;
  }

  TemporaryDirectory directory_;
  KubeletSettings settings_;
  std::shared_ptr<FakeResource> resource_ = std::make_shared<FakeResource>(
      kName, std::vector<AdvertisedDevice>{{"a", true, {}}, {"b", true, {}}});
  std::unique_ptr<FakeKubelet> kubelet_;
  LoopThread loop_;
  std::unique_ptr<KubeletSession> session_;
};

TEST_F(KubeletSessionTest, RegistersWithAKubeletThatIsThere) {
  StartKubelet();
  StartSession();
  ExpectServed();
  EXPECT_TRUE(Eventually([&] { return session_->plugins()[0]->connected(); }));
  EXPECT_EQ(kubelet_->RegisterCalls(), 1);
}

TEST_F(KubeletSessionTest, WaitsForADirectoryThatIsNotThereYet) {
  StartSession();
  StartKubelet();
  ExpectServed();
}

TEST_F(KubeletSessionTest, WaitsForAKubeletThatIsNotThereYet) {
  std::filesystem::create_directories(settings_.directory);
  StartSession();
  StartKubelet();
  ExpectServed();
}

TEST_F(KubeletSessionTest, RegistersWithTheKubeletThatIsThereByThen) {
  StartKubelet();
  CreateSession();  // which connects
  kubelet_.reset();
  StartKubelet();
  AddResource();
  ExpectServed();
}

TEST_F(KubeletSessionTest, NeedsNoConnectionThatWasMadeAhead) {
  StartKubelet();
  CreateSession();
  loop_.Do([&] { session_->CloseUnusedConnection(); });
  AddResource();
  ExpectServed();
}

TEST_F(KubeletSessionTest, RegistersAgainAfterARestartOfTheKubelet) {
  StartKubelet();
  StartSession();
  for (int restarts = 0; restarts < 3; ++restarts) {
    ExpectServed();
    kubelet_.reset();
    EXPECT_TRUE(std::filesystem::exists(settings_.directory + "/kubelet.sock"))
        << "a dead kubelet leaves its socket";
    StartKubelet();
  }
  ExpectServed();
}

TEST_F(KubeletSessionTest, ServesAgainWhenItsSocketIsRemoved) {
  StartKubelet();
  StartSession();
  ExpectServed();
  ASSERT_TRUE(std::filesystem::remove(Socket()));
  ASSERT_TRUE(kubelet_->WaitForRegistrations(2).ok());
  ExpectServed();
  EXPECT_TRUE(std::filesystem::exists(Socket()));
}

TEST_F(KubeletSessionTest, ServesAgainWhenTheDirectoryIsMadeAnew) {
  StartKubelet();
  StartSession();
  ExpectServed();
  kubelet_.reset();
  // Again if it fails: the session may just have made its socket anew.
  EXPECT_TRUE(WaitUntil([&] {
    std::error_code error;
    std::filesystem::remove_all(settings_.directory, error);
    return !error;
  }));
  StartKubelet();
  ExpectServed();
}

TEST_F(KubeletSessionTest, RegistersAgainWhenTheStreamEnds) {
  StartKubelet();
  StartSession();
  ExpectServed();
  kubelet_->EndStream(kName);
  ASSERT_TRUE(kubelet_->WaitForRegistrations(2).ok());
  ExpectServed();
}

TEST_F(KubeletSessionTest, TriesAgainWhenItIsRefused) {
  StartKubelet();
  kubelet_->RefuseRegistrations("the resource name is not to my taste");
  StartSession();
  ASSERT_TRUE(Eventually([&] { return kubelet_->RegisterCalls() >= 3; }));
  EXPECT_TRUE(kubelet_->Registrations().empty());
  kubelet_->RefuseRegistrations("");
  ExpectServed();
}

TEST_F(KubeletSessionTest, DoesNotSpinWhileItIsRefused) {
  // Longer than this takes, and less than a test waits: a socket that is there may not be listened
  // at yet, and nothing tells when it is.
  settings_.first_retry = std::chrono::seconds(10);
  settings_.last_retry = std::chrono::seconds(10);
  StartKubelet();
  kubelet_->RefuseRegistrations("no");
  StartSession();
  ASSERT_TRUE(Eventually([&] { return kubelet_->RegisterCalls() == 1; }));
  // Events that say nothing new of the kubelet are no reason to try earlier.
  loop_.Do([&] { session_->DevicesChanged(kName); });
  EXPECT_EQ(kubelet_->RegisterCalls(), 1);
  // Another kubelet is.
  kubelet_.reset();
  StartKubelet();
  ExpectServed();
}

TEST_F(KubeletSessionTest, GivesAHangingRegistrationUp) {
  settings_.registration_timeout = std::chrono::milliseconds(100);
  StartKubelet();
  kubelet_->HangRegistrations(true);
  StartSession();
  ASSERT_TRUE(Eventually([&] { return kubelet_->RegisterCalls() >= 2; }));
  kubelet_->HangRegistrations(false);
  ExpectServed();
}

TEST_F(KubeletSessionTest, DoesNotWaitForAHangingRegistrationWithAKubeletThatIsGone) {
  settings_.registration_timeout = std::chrono::hours(1);
  StartKubelet();
  kubelet_->HangRegistrations(true);
  StartSession();
  ASSERT_TRUE(Eventually([&] { return kubelet_->RegisterCalls() == 1; }));
  kubelet_.reset();
  StartKubelet();
  ExpectServed();
}

TEST_F(KubeletSessionTest, ServesResourcesBesideEachOther) {
  StartKubelet();
  StartSession();
  const auto other =
      std::make_shared<FakeResource>(kOther, std::vector<AdvertisedDevice>{{"x", true, {}}});
  loop_.Do([&] {
    EXPECT_TRUE(session_->Add(other).ok());
    EXPECT_EQ(session_->Add(other).code(), StatusCode::kAlreadyExists);
  });
  ExpectServed();
  EXPECT_TRUE(kubelet_->WaitForHealthyDevices(kOther, 1).ok());
  std::vector<std::string> endpoints;
  for (const auto& registration : kubelet_->Registrations())
    endpoints.push_back(registration.endpoint);
  EXPECT_THAT(endpoints, UnorderedElementsAre("npu-ipc-example.com_npu.sock",
                                              "npu-ipc-example.com_other.sock"));

  other->Set({{"x", false, {}}});
  loop_.Do([&] { session_->DevicesChanged(kOther); });
  EXPECT_TRUE(kubelet_->WaitForHealthyDevices(kOther, 0).ok());
  ExpectServed();
}

TEST_F(KubeletSessionTest, SaysThatItsDirectorysPathIsTooLong) {
  settings_.directory = directory_.Path(std::string(100, 'x'));
  std::filesystem::create_directories(settings_.directory);
  loop_.Do([&] {
    auto session = KubeletSession::Create(loop_.loop(), settings_);
    ASSERT_TRUE(session.ok());
    EXPECT_EQ((*session)->Add(resource_).code(), StatusCode::kInvalidArgument);
  });
}

TEST_F(KubeletSessionTest, LeavesNoSocketBehind) {
  StartKubelet();
  StartSession();
  ExpectServed();
  StopSession();
  EXPECT_FALSE(std::filesystem::exists(Socket()));
  EXPECT_TRUE(kubelet_->WaitForHealthyDevices(kName, 0).ok());
}

}  // namespace
}  // namespace npu_ipc::kubelet
