#include "plugin/kubelet/pod_resources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "plugin/kubelet/pod_resources_watch.h"
#include "tests/fakes/fake_pod_resources.h"
#include "tests/fixtures/child_process.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::kubelet {

static void PrintTo(const ContainerDevices& devices, std::ostream* out) {
  *out << devices.container.pod_namespace << "/" << devices.container.pod << "/"
       << devices.container.container << " " << devices.resource << " "
       << ::testing::PrintToString(devices.device_ids);
}

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kResource[] = "huawei.com/Ascend910B";
const ContainerDevices kTraining = {{"team", "training", "main"}, kResource, {"npu-0", "npu-1"}};
const ContainerDevices kSidecar = {{"team", "training", "side"}, kResource, {"npu-2"}};
const ContainerDevices kInference = {{"other", "inference", "main"}, "nvidia.com/gpu", {"gpu-0"}};

class PodResourcesTest : public ::testing::Test {
 protected:
  void SetUp() override { StartKubelet(); }
  void StartKubelet() {
    auto kubelet = FakePodResources::Start(socket_);
    ASSERT_TRUE(kubelet.ok()) << kubelet.status().message();
    kubelet_ = std::move(*kubelet);
    kubelet_->Set({kTraining, kSidecar, kInference});
  }

  TemporaryDirectory directory_;
  const std::string socket_ = directory_.Path("kubelet.sock");
  std::unique_ptr<FakePodResources> kubelet_;
  PodResourcesClient client_{socket_, seconds(30)};
};

TEST_F(PodResourcesTest, ListsEveryContainerWithItsDevicesTogetherAndInOrder) {
  for (int i = 0; i < 2; ++i) {  // the kubelet's order changes
    const auto list = client_.List();
    ASSERT_TRUE(list.ok()) << list.status().message();
    EXPECT_THAT(*list, ElementsAre(kInference, kTraining, kSidecar));
  }
}

TEST_F(PodResourcesTest, GetsOnePod) {
  const auto pod = client_.Get("team", "training");
  ASSERT_TRUE(pod.ok()) << pod.status().message();
  EXPECT_THAT(*pod, ElementsAre(kTraining, kSidecar));
  EXPECT_EQ(kubelet_->lists(), 0);
}

TEST_F(PodResourcesTest, FindsOnePodInTheListOfAKubeletWithoutGet) {
  kubelet_->DisableGet();
  const auto pod = client_.Get("team", "training");
  ASSERT_TRUE(pod.ok()) << pod.status().message();
  EXPECT_THAT(*pod, ElementsAre(kTraining, kSidecar));
  EXPECT_EQ(kubelet_->lists(), 1);
  EXPECT_EQ(client_.Get("other", "training").status().code(), StatusCode::kNotFound);
}

TEST_F(PodResourcesTest, TellsAnUnknownPodFromAFailure) {
  const Status unknown = client_.Get("team", "none").status();
  EXPECT_EQ(unknown.code(), StatusCode::kNotFound);
  EXPECT_THAT(unknown.message(), HasSubstr("team/none"));
}

TEST_F(PodResourcesTest, SaysThatItAskedTooOften) {
  kubelet_->LimitRate(true);
  const Status limited = client_.List().status();
  EXPECT_EQ(limited.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(limited.message(), HasSubstr("rate limit"));
  kubelet_->LimitRate(false);
  EXPECT_TRUE(client_.List().ok());
}

TEST_F(PodResourcesTest, AsksAKubeletThatCameLateOrCameBack) {
  kubelet_.reset();
  const Status away = client_.List().status();
  EXPECT_EQ(away.code(), StatusCode::kUnavailable);
  EXPECT_THAT(away.message(), HasSubstr(socket_));
  StartKubelet();
  EXPECT_TRUE(client_.List().ok());
}

TEST_F(PodResourcesTest, DoesNotWaitForeverForAKubeletThatHangs) {
  PodResourcesClient impatient(socket_, milliseconds(50));
  kubelet_->Hang(true);
  EXPECT_EQ(impatient.List().status().code(), StatusCode::kDeadlineExceeded);
  kubelet_->Hang(false);
}

TEST_F(PodResourcesTest, CanBeCancelled) {
  kubelet_->Hang(true);
  std::thread canceller([this] {
    EXPECT_TRUE(kubelet_->WaitForLists(1).ok());
    client_.Cancel();
  });
  EXPECT_EQ(client_.List().status().code(), StatusCode::kUnavailable);
  canceller.join();
  EXPECT_EQ(client_.List().status().code(), StatusCode::kUnavailable);
  kubelet_->Hang(false);
  EXPECT_EQ(kubelet_->lists(), 1);
}

class PodResourcesWatchTest : public PodResourcesTest {
 protected:
  void SetUp() override {
    PodResourcesTest::SetUp();
    settings_.socket = socket_;
    settings_.interval = hours(1);
    settings_.unsettled_interval = milliseconds(5);
    tracker_->AddResource(kResource);
  }
  void StartWatch() {
    watch_ = std::make_unique<PodResourcesWatch>(settings_, tracker_);
    watch_->Start();
  }
  std::vector<Allocation> Allocations() const { return tracker_->snapshot()->allocations; }
  bool WaitForAllocations(size_t count) const {
    return WaitUntil([&] { return Allocations().size() == count && !tracker_->Unsettled(); });
  }

  PodResourcesSettings settings_;
  std::shared_ptr<AllocationTracker> tracker_ =
      std::make_shared<AllocationTracker>(AllocationRules{3, milliseconds(20)});
  std::unique_ptr<PodResourcesWatch> watch_;
};

TEST_F(PodResourcesWatchTest, AsksAtStartAndThenRests) {
  StartWatch();
  ASSERT_TRUE(WaitForAllocations(2));
  EXPECT_EQ(Allocations()[0].container->container, "main");
  EXPECT_EQ(kubelet_->lists(), 1);
}

TEST_F(PodResourcesWatchTest, AsksAgainWhenSomethingWasAllocated) {
  StartWatch();
  ASSERT_TRUE(WaitForAllocations(2));
  tracker_->RecordAllocate(kResource, {"npu-7"});
  watch_->AskSoon();
  ASSERT_TRUE(kubelet_->WaitForLists(2).ok());
  kubelet_->Set({kTraining, kSidecar, {{"team", "new", "main"}, kResource, {"npu-7"}}});
  ASSERT_TRUE(WaitForAllocations(3));
  EXPECT_EQ(Allocations()[0].container->pod, "new");
}

TEST_F(PodResourcesWatchTest, DropsPodsThatAreGoneOnceItIsSure) {
  settings_.interval = milliseconds(10);
  StartWatch();
  ASSERT_TRUE(WaitForAllocations(2));
  kubelet_->Set({kSidecar});
  EXPECT_TRUE(WaitForAllocations(1));
}

TEST_F(PodResourcesWatchTest, KeepsWhatItKnowsOverARestartOfTheKubelet) {
  settings_.interval = milliseconds(10);
  StartWatch();
  ASSERT_TRUE(WaitForAllocations(2));
  kubelet_.reset();
  ASSERT_TRUE(WaitUntil([&] { return !tracker_->snapshot()->source.ok(); }));
  EXPECT_EQ(Allocations().size(), 2u);
  EXPECT_THAT(tracker_->snapshot()->source.message(), HasSubstr(socket_));
  StartKubelet();
  ASSERT_TRUE(WaitUntil([&] { return tracker_->snapshot()->source.ok(); }));
  EXPECT_EQ(Allocations().size(), 2u);
}

TEST_F(PodResourcesWatchTest, WaitsForAKubeletThatIsNotThereYet) {
  kubelet_.reset();
  settings_.interval = milliseconds(10);
  StartWatch();
  ASSERT_TRUE(WaitUntil([&] { return !tracker_->snapshot()->source.ok(); }));
  EXPECT_THAT(Allocations(), IsEmpty());
  StartKubelet();
  EXPECT_TRUE(WaitForAllocations(2));
}

TEST_F(PodResourcesWatchTest, LeavesAKubeletThatRefusesMoreAndMoreAlone) {
  settings_.unsettled_interval = milliseconds(20);
  kubelet_->LimitRate(true);
  const TimePoint start = SystemClock().Now();
  StartWatch();
  ASSERT_TRUE(kubelet_->WaitForLists(5).ok());
  EXPECT_GE(SystemClock().Now() - start, milliseconds(20 + 40 + 80 + 160));
}

TEST_F(PodResourcesWatchTest, StopsAtOnceInTheMiddleOfACall) {
  kubelet_->Hang(true);
  settings_.timeout = hours(1);
  StartWatch();
  ASSERT_TRUE(kubelet_->WaitForLists(1).ok());
  watch_.reset();
  kubelet_->Hang(false);
}

}  // namespace
}  // namespace npu_ipc::kubelet
