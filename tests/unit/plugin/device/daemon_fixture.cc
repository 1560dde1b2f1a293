#include "tests/unit/plugin/device/daemon_fixture.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/unit/plugin/device/shared_device_manager.h"

namespace npu_ipc::device {

using std::chrono::milliseconds;

Settings SettingsBelow(const TemporaryDirectory& directory) {
  std::filesystem::create_directory(directory.Path("lib"));
  std::ofstream(directory.Path("lib/libnpu_ipc.so")) << "library";
  Settings settings;
  settings.library.source = directory.Path("lib");
  settings.library.store = directory.Path("store");
  settings.library.socket_directory = directory.Path("run");
  settings.device_view_socket = "off";
  settings.driver.host_root = directory.Path("host");
  settings.kubelet.directory = directory.Path("dp");
  settings.kubelet.last_retry = milliseconds(200);
  settings.pod_resources.socket = directory.Path("pod-resources.sock");
  settings.pod_resources.unsettled_interval = milliseconds(10);
  settings.pod_resources.interval = milliseconds(50);
  settings.injection.cdi_directory = directory.Path("cdi");
  settings.injection.upkeep_interval = milliseconds(20);
  settings.health.poll_interval = milliseconds(10);
  return settings;
}

void DaemonFixture::StartKubelet() {
  auto kubelet = FakeKubelet::Start(settings_.kubelet.directory);
  ASSERT_TRUE(kubelet.ok()) << kubelet.status().message();
  kubelet_ = std::move(*kubelet);
}

void DaemonFixture::StartDaemon() {
  auto loop = EventLoop::Create();
  ASSERT_TRUE(loop.ok());
  loop_ = std::move(*loop);
  thread_ = std::thread([this] {
    auto daemon = Daemon::Create(*loop_, settings_, OpenShared(driver_));
    if (!daemon.ok()) {
      failure_.set_value(daemon.status());
      return;
    }
    running_ = daemon->get();
    loop_->Run();
    failure_.set_value((*daemon)->failure());
  });
}

void DaemonFixture::StopDaemon() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

Status DaemonFixture::Failure() {
  auto future = failure_.get_future();
  if (future.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
    return {StatusCode::kDeadlineExceeded, "the daemon is still running"};
  }
  return future.get();
}

void DaemonFixture::ExpectHealthy(const std::string& resource, size_t count) {
  const Status waited = kubelet_->WaitForHealthyDevices(resource, count);
  EXPECT_TRUE(waited.ok()) << waited.message();
}

}  // namespace npu_ipc::device
