// What needs neither a driver nor a device.
#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "hal/sim/libruntime/device_memory.h"
#include "hal/sim/libruntime/devices.h"
#include "hal/sim/libruntime/errors.h"
#include "hal/sim/libruntime/event.h"
#include "hal/sim/libruntime/handle_table.h"
#include "hal/sim/libruntime/stream.h"

namespace npu_ipc::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(VisibleDevicesTest, IsAListOfLogicIdsCutAtTheFirstBadOne) {
  EXPECT_THAT(VisibleDevices(nullptr, 3), ElementsAre(0, 1, 2));
  EXPECT_THAT(VisibleDevices("2,0", 3), ElementsAre(2, 0));
  EXPECT_THAT(VisibleDevices("", 3), IsEmpty());
  EXPECT_THAT(VisibleDevices("1,3,0", 3), ElementsAre(1));
  EXPECT_THAT(VisibleDevices("1,1,0", 3), ElementsAre(1));
  EXPECT_THAT(VisibleDevices("1, 0", 3), ElementsAre(1));
  EXPECT_THAT(VisibleDevices("-1,0", 3), IsEmpty());
  EXPECT_THAT(VisibleDevices("1x", 3), IsEmpty());
  EXPECT_THAT(VisibleDevices(",1", 3), IsEmpty());
  EXPECT_THAT(VisibleDevices("99999999999999999999", 3), IsEmpty());
  EXPECT_THAT(VisibleDevices("0,1", 0), IsEmpty());
}

TEST(DriverRefusalTest, IsTranslatedAsTheVendorsHalAndRuntimeDo) {
  const struct {
    int error;
    rtError_t code;
  } cases[] = {{EINVAL, 507899},    {EACCES, 507899}, {EPERM, 207006},  {EFAULT, 107017},
               {ENOMEM, 207001},    {ENODEV, 207004}, {ENXIO, 207004},  {EOPNOTSUPP, 207000},
               {EBUSY, 507899},     {ESRCH, 507899},  {ENOSPC, 207005}, {E2BIG, 207012},
               {ETIMEDOUT, 507012}, {ELOOP, 507899}};
  for (const auto& [error, code] : cases) {
    const RtStatus status = DriverRefusal(error, "doing it");
    EXPECT_EQ(status.code(), code) << error;
    EXPECT_THAT(status.message(), HasSubstr("doing it"));
  }
}

TEST(HandleTableTest, NeverGivesAHandleTwice) {
  HandleTable<int, HandleKind::kEvent> table;
  void* const first = table.Add(std::make_shared<int>(1));
  EXPECT_EQ(*table.Find(first), 1);
  EXPECT_EQ(*table.Remove(first), 1);
  EXPECT_EQ(table.Find(first), nullptr);
  EXPECT_EQ(table.Remove(first), nullptr);
  EXPECT_NE(table.Add(std::make_shared<int>(2)), first);
  HandleTable<int, HandleKind::kEvent> another;
  EXPECT_EQ(another.Find(first), nullptr);
  EXPECT_EQ(table.Find(nullptr), nullptr);
}

TEST(StreamTest, KeepsTheFirstFailureForWhoeverWaits) {
  RtResult<std::shared_ptr<Stream>> stream = Stream::Create(1);
  ASSERT_TRUE(stream.ok());
  bool ran_after = false;
  (*stream)->Run([] { return RtStatus(507001, "first"); });
  (*stream)->Run([] { return RtStatus(507002, "second"); });
  (*stream)->Run([&ran_after] {
    ran_after = true;
    return RtStatus();
  });
  EXPECT_EQ((*stream)->Synchronize(-1).code(), 507001);
  EXPECT_TRUE(ran_after);
  EXPECT_TRUE((*stream)->Synchronize(0).ok()) << "told once";
  (*stream)->Finish();
  (*stream)->Run([] { return RtStatus(507003, "too late"); });
  EXPECT_TRUE((*stream)->Synchronize(-1).ok());
}

// Chains of streams that wake each other, over and over: a wake-up that is lost would hang.
TEST(EventTest, NoWakeUpIsLost) {
  constexpr int kStreams = 4;
  constexpr int kRounds = 500;
  std::vector<std::shared_ptr<Stream>> streams;
  std::vector<std::shared_ptr<Event>> events;
  for (int i = 0; i < kStreams; ++i) {
    RtResult<std::shared_ptr<Stream>> stream = Stream::Create(i);
    ASSERT_TRUE(stream.ok());
    streams.push_back(*stream);
    events.push_back(std::make_shared<Event>(i, Event::Order::kRecordFirst));
  }
  int turns = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kStreams; ++i) {
      streams[i]->Run([&turns, expected = round * kStreams + i] {
        return turns++ == expected ? RtStatus() : RtStatus(507000, "out of turn");
      });
      events[i]->Record(*streams[i]);
      events[i]->Wait(*streams[(i + 1) % kStreams]);
    }
  }
  for (const auto& stream : streams) EXPECT_TRUE(stream->Synchronize(30000).ok());
  EXPECT_EQ(turns, kStreams * kRounds);
  for (const auto& event : events) EXPECT_TRUE(event->WaitsHaveEnded());
}

}  // namespace
}  // namespace npu_ipc::sim
