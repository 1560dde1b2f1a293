#include "plugin/device/device_poller.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "tests/fakes/fake_device_manager.h"
#include "tests/unit/plugin/device/shared_device_manager.h"

namespace npu_ipc::device {
namespace {

// Where the poller's thread leaves what it saw.
class Mailbox {
 public:
  DevicePoller::Deliver Deliver() {
    return [this](Observation observation) {
      const std::lock_guard lock(mutex_);
      observations_.push_back(std::move(observation));
      arrived_.notify_all();
    };
  }
  // The next one, within 30 s.
  Observation Take() {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, std::chrono::seconds(30),
                           [this] { return !observations_.empty(); })) {
      return Observation{
          Status(StatusCode::kDeadlineExceeded, "nothing was delivered"), {}, {}, {}};
    }
    Observation first = std::move(observations_.front());
    observations_.erase(observations_.begin());
    return first;
  }
  size_t size() {
    const std::lock_guard lock(mutex_);
    return observations_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Observation> observations_;
};

class DevicePollerTest : public ::testing::Test {
 protected:
  std::shared_ptr<hal::FakeDeviceManager> driver_ =
      std::make_shared<hal::FakeDeviceManager>(hal::FakeDeviceManager::Ascend910B(2));
  Mailbox mailbox_;
};

TEST_F(DevicePollerTest, SeesDevicesAndTheirHealth) {
  driver_->SetHealth(1, hal::HealthLevel::kCritical);
  DevicePoller poller(OpenShared(driver_), mailbox_.Deliver());
  poller.Poll();
  const Observation observation = mailbox_.Take();
  ASSERT_TRUE(observation.inventory.ok()) << observation.inventory.status().message();
  EXPECT_EQ(observation.inventory->devices.size(), 2u);
  ASSERT_EQ(observation.health.size(), 2u);
  EXPECT_EQ(observation.health.at(1)->level, hal::HealthLevel::kCritical);
}

TEST_F(DevicePollerTest, LeavesWhatIsMeasuredToTheSecondLook) {
  hal::DeviceUsage usage;
  usage.temperature_celsius = 47;
  driver_->SetUsage(1, usage);
  DevicePoller poller(OpenShared(driver_), mailbox_.Deliver());
  poller.Poll();
  const Observation first = mailbox_.Take();
  EXPECT_EQ(first.health.size(), 2u);
  EXPECT_EQ(first.links.size(), 1u);
  EXPECT_TRUE(first.usage.empty()) << "registration waits for it";
  poller.Poll();
  const Observation second = mailbox_.Take();
  EXPECT_EQ(second.usage.at(1).temperature_celsius, 47);
  EXPECT_EQ(second.driver_version, driver_->DriverVersion().value());
}

TEST_F(DevicePollerTest, AsksForLinksOnceAndAgainWhenADeviceComesBack) {
  driver_->SetLink(0, 1, hal::LinkType::kPciSwitch);
  DevicePoller poller(OpenShared(driver_), mailbox_.Deliver());
  const auto look = [&] {
    poller.Poll();
    return LinkBetween(mailbox_.Take().links, 1, 0);
  };
  EXPECT_EQ(look(), hal::LinkType::kPciSwitch);
  driver_->SetLink(0, 1, hal::LinkType::kHccs);
  EXPECT_EQ(look(), hal::LinkType::kPciSwitch);
  driver_->SetDevices(hal::FakeDeviceManager::Ascend910B(1));
  EXPECT_EQ(look(), hal::LinkType::kUnknown);
  driver_->SetDevices(hal::FakeDeviceManager::Ascend910B(2));
  EXPECT_EQ(look(), hal::LinkType::kHccs);
}

TEST_F(DevicePollerTest, TriesAgainToOpenALibraryThatIsMissing) {
  bool installed = false;  // the poller's thread reads it only after Poll()
  DevicePoller poller(
      [&]() -> Result<std::unique_ptr<hal::DeviceManager>> {
        if (installed) return OpenShared(driver_)();
        return Status(StatusCode::kNotFound, "libdcmi.so: cannot open shared object file");
      },
      mailbox_.Deliver());
  poller.Poll();
  EXPECT_EQ(mailbox_.Take().inventory.status().code(), StatusCode::kNotFound);
  installed = true;
  poller.Poll();
  EXPECT_TRUE(mailbox_.Take().inventory.ok());
}

TEST_F(DevicePollerTest, TakesOneLookAtATimeAndSaysForHowLong) {
  driver_->Hang(true);
  DevicePoller poller(OpenShared(driver_), mailbox_.Deliver());
  EXPECT_FALSE(poller.BusyFor().has_value());
  poller.Poll();
  ASSERT_TRUE(driver_->WaitForHungCalls(1));
  EXPECT_TRUE(poller.BusyFor().has_value());
  poller.Poll();
  poller.Poll();
  driver_->Hang(false);
  EXPECT_TRUE(mailbox_.Take().inventory.ok());
  EXPECT_EQ(mailbox_.size(), 0u);
}

TEST_F(DevicePollerTest, IsNotHeldUpByADriverThatNeverComesBack) {
  driver_->Hang(true);
  auto mailbox = std::make_shared<Mailbox>();
  {
    DevicePoller poller(OpenShared(driver_), mailbox->Deliver());
    poller.Poll();
    ASSERT_TRUE(driver_->WaitForHungCalls(1));
  }
  EXPECT_EQ(mailbox->size(), 0u);
  // The thread that was left behind ends by itself and delivers nothing: the reference that it
  // holds goes away.
  driver_->Hang(false);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (driver_.use_count() > 1 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  EXPECT_EQ(driver_.use_count(), 1);
  EXPECT_EQ(mailbox->size(), 0u);
}

}  // namespace
}  // namespace npu_ipc::device
