#include "plugin/kubelet/allocation_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <utility>

namespace npu_ipc::kubelet {

static void PrintTo(const Allocation& allocation, std::ostream* out) {
  *out << allocation.resource << " " << ::testing::PrintToString(allocation.device_ids) << " of "
       << (allocation.container ? allocation.container->pod : "nobody known");
}

namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kResource[] = "huawei.com/Ascend910B";

class ManualClock final : public Clock {
 public:
  TimePoint Now() const override { return now; }
  TimePoint now = TimePoint() + seconds(1000);
};

ContainerName Main(const std::string& pod) { return {"default", pod, "main"}; }

Allocation Of(const std::string& pod, std::vector<std::string> ids) {
  return {kResource, std::move(ids), Main(pod)};
}
Allocation Unnamed(std::vector<std::string> ids) { return {kResource, std::move(ids), {}}; }

class AllocationTrackerTest : public ::testing::Test {
 protected:
  using Answer = std::vector<ContainerDevices>;

  AllocationTrackerTest() { tracker_.AddResource(kResource); }

  static ContainerDevices Holds(const std::string& pod, std::vector<std::string> ids) {
    return {Main(pod), kResource, std::move(ids)};
  }
  void Allocate(std::vector<std::string> ids) {
    tracker_.RecordAllocate(kResource, std::move(ids));
  }
  // One answer, `later` after the one before it.
  void Observe(const Result<Answer>& answer, Duration later = seconds(5)) {
    clock_.now += later;
    tracker_.Observe(answer, clock_.now);
  }
  std::vector<Allocation> Allocations() const { return tracker_.snapshot()->allocations; }

  ManualClock clock_;
  AllocationTracker tracker_{{3, seconds(10)}, clock_};
};

TEST_F(AllocationTrackerTest, NamesWhatWasAllocated) {
  EXPECT_FALSE(tracker_.Unsettled());
  Allocate({"npu-1", "npu-0"});
  EXPECT_THAT(Allocations(), ElementsAre(Unnamed({"npu-0", "npu-1"})));
  EXPECT_TRUE(tracker_.Unsettled());
  Observe(Answer{Holds("training", {"npu-0", "npu-1"})});
  EXPECT_THAT(Allocations(), ElementsAre(Of("training", {"npu-0", "npu-1"})));
  EXPECT_FALSE(tracker_.Unsettled());
}

TEST_F(AllocationTrackerTest, LearnsWhatWasAllocatedBeforeItStarted) {
  Observe(Answer{Holds("b", {"npu-1"}), Holds("a", {"npu-0"})});
  EXPECT_THAT(Allocations(), ElementsAre(Of("a", {"npu-0"}), Of("b", {"npu-1"})));
}

TEST_F(AllocationTrackerTest, LeavesOtherPluginsResourcesOut) {
  Observe(Answer{{Main("other"), "nvidia.com/gpu", {"gpu-0"}}, {Main("none"), kResource, {}}});
  EXPECT_THAT(Allocations(), IsEmpty());
}

TEST_F(AllocationTrackerTest, MergesSeveralEntriesOfOneContainer) {
  Observe(Answer{Holds("a", {"npu-1"}), Holds("a", {"npu-0"})});
  EXPECT_THAT(Allocations(), ElementsAre(Of("a", {"npu-0", "npu-1"})));
}

TEST_F(AllocationTrackerTest, BelievesThatAPodIsGoneAfterSeveralAnswersOverTime) {
  Observe(Answer{Holds("a", {"npu-0"})});
  Observe(Answer{});
  Observe(Answer{});
  EXPECT_THAT(Allocations(), ElementsAre(Of("a", {"npu-0"}))) << "two answers are not enough";
  EXPECT_TRUE(tracker_.Unsettled());
  Observe(Answer{});
  EXPECT_THAT(Allocations(), IsEmpty());
  EXPECT_FALSE(tracker_.Unsettled());
}

TEST_F(AllocationTrackerTest, DoesNotBelieveManyAnswersInQuickSuccession) {
  Observe(Answer{Holds("a", {"npu-0"})});
  for (int i = 0; i < 10; ++i) Observe(Answer{}, std::chrono::milliseconds(200));
  EXPECT_THAT(Allocations(), ElementsAre(Of("a", {"npu-0"})));
  Observe(Answer{Holds("a", {"npu-0"})});
  EXPECT_FALSE(tracker_.Unsettled()) << "the pod came back";
}

TEST_F(AllocationTrackerTest, CountsAnewAfterAnAnswerThatFailed) {
  const Status away(StatusCode::kUnavailable, "no kubelet answers");
  Observe(Answer{Holds("a", {"npu-0"})});
  for (int restarts = 0; restarts < 4; ++restarts) {
    Observe(Answer{});
    Observe(Answer{});
    Observe(away);
    EXPECT_THAT(Allocations(), ElementsAre(Of("a", {"npu-0"})));
    EXPECT_EQ(tracker_.snapshot()->source.message(), "no kubelet answers");
  }
  Observe(Answer{Holds("a", {"npu-0"})});
  EXPECT_TRUE(tracker_.snapshot()->source.ok());
}

TEST_F(AllocationTrackerTest, DropsAtOnceWhoseDeviceAnotherPodHas) {
  Observe(Answer{Holds("old", {"npu-0", "npu-1"})});
  Allocate({"npu-1"});
  Observe(Answer{Holds("new", {"npu-1"})});
  EXPECT_THAT(Allocations(), ElementsAre(Of("new", {"npu-1"})));
  EXPECT_FALSE(tracker_.Unsettled());
}

// The kubelet gives an init container's devices to the container after it, and lists pods that have
// ended (kubernetes/kubernetes#119423).
TEST_F(AllocationTrackerTest, LetsTwoContainersOfTheListHoldOneDevice) {
  const ContainerName init{"default", "a", "init"};
  Observe(Answer{{init, kResource, {"npu-0"}}, Holds("a", {"npu-0"}), Holds("ended", {"npu-0"})});
  EXPECT_EQ(Allocations().size(), 3u);
  Observe(Answer{Holds("a", {"npu-0"}), Holds("ended", {"npu-0"})});
  EXPECT_EQ(Allocations().size(), 2u) << "'ended' is of another pod than the one that went";
}

TEST_F(AllocationTrackerTest, KeepsAnInitContainerUntilItIsGoneForSure) {
  const ContainerName init{"default", "a", "init"};
  Observe(Answer{{init, kResource, {"npu-0"}}});
  Observe(Answer{Holds("a", {"npu-0"})});
  EXPECT_EQ(Allocations().size(), 2u);
}

TEST_F(AllocationTrackerTest, DoesNotTakeTheHolderBeforeForTheNewOne) {
  Observe(Answer{Holds("ended", {"npu-0"})});
  Allocate({"npu-0"});
  Observe(Answer{Holds("ended", {"npu-0"})});
  EXPECT_THAT(Allocations(), ElementsAre(Of("ended", {"npu-0"}), Unnamed({"npu-0"})));
  Observe(Answer{Holds("new", {"npu-0"})});
  EXPECT_THAT(Allocations(), ElementsAre(Of("new", {"npu-0"})));
}

TEST_F(AllocationTrackerTest, TakesAPodOfTheSameNameForTheNewOneInTheEnd) {
  Observe(Answer{Holds("set-0", {"npu-0"})});
  Allocate({"npu-0"});
  for (int i = 0; i < 3; ++i) Observe(Answer{Holds("set-0", {"npu-0"})});
  EXPECT_THAT(Allocations(), ElementsAre(Of("set-0", {"npu-0"})));
}

TEST_F(AllocationTrackerTest, FollowsAPodOfTheSameNameToOtherDevices) {
  Observe(Answer{Holds("set-0", {"npu-0"})});
  Allocate({"npu-5"});
  Observe(Answer{Holds("set-0", {"npu-5"})});
  EXPECT_THAT(Allocations(), ElementsAre(Of("set-0", {"npu-5"})));
  EXPECT_FALSE(tracker_.Unsettled());
}

TEST_F(AllocationTrackerTest, DropsWhatNobodyCameToHold) {
  Allocate({"npu-0"});
  Observe(Answer{});
  Observe(Answer{});
  EXPECT_THAT(Allocations(), ElementsAre(Unnamed({"npu-0"})));
  Observe(Answer{});
  EXPECT_THAT(Allocations(), IsEmpty());
}

TEST_F(AllocationTrackerTest, IsNotJudgedByAQuestionThatWasAskedBeforeAllocate) {
  const TimePoint asked = clock_.now;
  clock_.now += seconds(1);
  Allocate({"npu-0"});
  for (int i = 0; i < 5; ++i) tracker_.Observe(Answer{}, asked);
  Observe(Answer{});
  Observe(Answer{});
  EXPECT_THAT(Allocations(), ElementsAre(Unnamed({"npu-0"})));
}

TEST_F(AllocationTrackerTest, GivesOutTheSameSnapshotUntilSomethingChanges) {
  auto snapshot = tracker_.snapshot();
  const auto changed = [&] { return std::exchange(snapshot, tracker_.snapshot()) != snapshot; };
  Observe(Answer{});
  EXPECT_FALSE(changed());
  Allocate({"npu-0"});
  EXPECT_TRUE(changed());
  Observe(Answer{Holds("a", {"npu-0"})});
  EXPECT_TRUE(changed());
  Observe(Answer{Holds("a", {"npu-0"})});
  EXPECT_FALSE(changed());
  Observe(Status(StatusCode::kUnavailable, "away"));
  EXPECT_TRUE(changed());
  Observe(Status(StatusCode::kUnavailable, "away"));
  EXPECT_FALSE(changed());
}

TEST_F(AllocationTrackerTest, LeavesASnapshotThatWasGivenOutAsItIs) {
  Allocate({"npu-0"});
  const auto before = tracker_.snapshot();
  Allocate({"npu-1"});
  EXPECT_THAT(before->allocations, ElementsAre(Unnamed({"npu-0"})));
  EXPECT_THAT(Allocations(), ElementsAre(Unnamed({"npu-0"}), Unnamed({"npu-1"})));
}

TEST_F(AllocationTrackerTest, CanBeUsedByManyThreadsAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kEach = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < kEach; ++i) Allocate({"npu-" + std::to_string(t * kEach + i)});
    });
  }
  threads.emplace_back([this] {
    for (int i = 0; i < kEach; ++i) {
      tracker_.Observe(Answer{Holds("a", {"npu-x"})}, clock_.now);
      static_cast<void>(tracker_.Unsettled());
      static_cast<void>(tracker_.snapshot());
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Allocations().size(), kThreads * kEach + 1u);
}

}  // namespace
}  // namespace npu_ipc::kubelet
