// The daemon in this process, between a kubelet and a driver that the test plays.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "hal/base/event_loop.h"
#include "plugin/device/daemon.h"
#include "tests/fakes/fake_device_manager.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::device {

// A daemon's settings for a test: everything below one directory, and in a hurry. Makes a library
// to inject too. The kubelet's directory is "dp"; no device view is served.
Settings SettingsBelow(const TemporaryDirectory& directory);

// A node of eight 910B, and a kubelet that is there from the start.
class DaemonFixture : public testing::Test {
 protected:
  void SetUp() override { StartKubelet(); }
  void TearDown() override { StopDaemon(); }

  void StartKubelet();
  // Runs the daemon on a thread of its own, once in a test.
  void StartDaemon();
  void StopDaemon();
  // What the daemon could not be made for, or stopped with, once it has.
  Status Failure();
  void ExpectHealthy(const std::string& resource, size_t count);

  TemporaryDirectory directory_;
  Settings settings_ = SettingsBelow(directory_);
  std::shared_ptr<hal::FakeDeviceManager> driver_ =
      std::make_shared<hal::FakeDeviceManager>(hal::FakeDeviceManager::Ascend910B(8));
  std::unique_ptr<FakeKubelet> kubelet_;
  std::atomic<Daemon*> running_ = nullptr;  // until StopDaemon()

 private:
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
  std::promise<Status> failure_;
};

}  // namespace npu_ipc::device
