#include "plugin/device_view/device_view_client.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>

#include "plugin/device_view/device_view_server.h"
#include "plugin/device_view/proto/device_view.grpc.pb.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/plugin/device_view/fake_source.h"
#include "tests/unit/plugin/device_view/states.h"

namespace npu_ipc::device_view {
namespace {

namespace v1 = npu::ipc::v1;
using std::chrono::seconds;
using ::testing::HasSubstr;

class SettableClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(now_.load()); }
  void Advance(Duration by) { now_ = now_.load() + by; }

 private:
  std::atomic<Duration> now_{Duration(seconds(1000))};
};

class DeviceViewClientTest : public ::testing::Test {
 protected:
  void SetUp() override { source_.Set(FullState(1)); }

  void Serve() {
    auto server = DeviceViewServer::Serve(settings_.socket, source_);
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
  }
  void StartClient() {
    settings_.last_retry = settings_.first_retry;
    client_ = std::make_unique<DeviceViewClient>(
        settings_, [this](const View& view) { Take(view); }, clock_);
  }
  void Take(const View& view) {
    const std::lock_guard lock(mutex_);
    views_.push_back(view);
    changed_.notify_all();
  }
  // Waits until the last view that the sink got is such.
  View WaitFor(const std::function<bool(const View&)>& wanted) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(30),
                                  [&] { return !views_.empty() && wanted(views_.back()); }));
    return views_.empty() ? View() : views_.back();
  }

  TemporaryDirectory directory_;
  ClientSettings settings_{directory_.Path("view.sock"), std::chrono::milliseconds(10)};
  SettableClock clock_;
  FakeSource source_;
  std::unique_ptr<DeviceViewServer> server_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<View> views_;  // guarded by mutex_
  std::unique_ptr<DeviceViewClient> client_;
};

TEST_F(DeviceViewClientTest, FollowsTheState) {
  Serve();
  StartClient();
  const View first = WaitFor([](const View& view) { return view.connected; });
  EXPECT_EQ(*first.state, FullState(1));
  NodeState next = FullState(2);
  next.devices.erase("npu-3");
  source_.Set(next);
  const View second = WaitFor([](const View& view) { return view.state->sequence == 2; });
  EXPECT_EQ(*second.state, next);
  EXPECT_EQ(*first.state, FullState(1)) << "a view that was given out has changed";
  EXPECT_EQ(client_->Current().state->sequence, 2u);
}

TEST_F(DeviceViewClientTest, SaysWhyThereIsNoView) {
  StartClient();
  const View view = WaitFor([](const View& v) { return !v.problem.empty(); });
  EXPECT_FALSE(view.connected);
  EXPECT_EQ(view.state, nullptr);
  EXPECT_EQ(view.Age(clock_.Now()), std::nullopt);
  EXPECT_THAT(view.problem, HasSubstr(settings_.socket));
}

TEST_F(DeviceViewClientTest, ConnectsWhenTheDevicePluginComes) {
  StartClient();
  WaitFor([](const View& view) { return !view.problem.empty(); });
  Serve();
  const View view = WaitFor([](const View& v) { return v.connected; });
  EXPECT_EQ(*view.state, FullState(1));
  EXPECT_EQ(view.problem, "");
}

TEST_F(DeviceViewClientTest, KeepsTheLastViewAndSaysHowOldItIs) {
  Serve();
  StartClient();
  WaitFor([](const View& view) { return view.connected; });
  server_.reset();
  const View view = WaitFor([](const View& v) { return !v.connected; });
  ASSERT_NE(view.state, nullptr);
  EXPECT_EQ(*view.state, FullState(1));
  EXPECT_EQ(view.Age(clock_.Now()), seconds(0));
  clock_.Advance(seconds(90));
  EXPECT_EQ(client_->Current().Age(clock_.Now()), seconds(90));
}

TEST_F(DeviceViewClientTest, TakesTheStateOfARestartedDevicePluginWhole) {
  source_.Set(FullState(100));
  Serve();
  StartClient();
  WaitFor([](const View& view) { return view.connected; });
  server_.reset();
  WaitFor([](const View& view) { return !view.connected; });
  NodeState fresh;
  fresh.sequence = 1;  // counted anew
  fresh.facts.problem = "libdcmi.so is not there";
  source_.Set(fresh);
  Serve();
  const View view = WaitFor([](const View& v) { return v.connected; });
  EXPECT_EQ(*view.state, fresh);
}

// Sends a state, and then a change that does not fit it.
class ConfusedService final : public v1::DeviceView::Service {
 public:
  grpc::Status Watch(grpc::ServerContext*, const v1::WatchRequest*,
                     grpc::ServerWriter<v1::Update>* writer) override {
    v1::Update update;
    update.set_sequence(++watches_ == 1 ? 7 : 8);
    writer->Write(update);
    update.set_from_sequence(3);
    writer->Write(update);
    return grpc::Status::OK;
  }

 private:
  std::atomic<int> watches_ = 0;
};

TEST_F(DeviceViewClientTest, StartsAnewWhereChangesDoNotFit) {
  ConfusedService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + settings_.socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  StartClient();
  WaitFor([](const View& view) { return view.state != nullptr && view.state->sequence == 8; });
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(views_[0].state->sequence, 7u);
  EXPECT_FALSE(views_[1].connected);
  EXPECT_THAT(views_[1].problem, HasSubstr("does not fit"));
}

TEST_F(DeviceViewClientTest, EndsWhateverItWaitsFor) {
  StartClient();  // nobody there: it waits to try again
  WaitFor([](const View& view) { return !view.problem.empty(); });
  client_.reset();
  Serve();
  StartClient();  // waits for a change
  WaitFor([](const View& view) { return view.connected; });
  client_.reset();
  const std::lock_guard lock(mutex_);
  EXPECT_TRUE(views_.back().connected) << "told of its own end";
}

}  // namespace
}  // namespace npu_ipc::device_view
