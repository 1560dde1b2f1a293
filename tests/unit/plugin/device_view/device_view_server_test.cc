#include "plugin/device_view/device_view_server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>

#include "plugin/device_view/conversion.h"
#include "plugin/device_view/proto/device_view.grpc.pb.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/plugin/device_view/fake_source.h"
#include "tests/unit/plugin/device_view/states.h"

namespace npu_ipc::device_view {
namespace {

namespace v1 = npu::ipc::v1;
using ::testing::HasSubstr;

// A watch of a test's own, which reads when the test says so.
class Watcher {
 public:
  explicit Watcher(v1::DeviceView::Stub& stub) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    reader_ = stub.Watch(&context_, v1::WatchRequest());
  }
  ~Watcher() { context_.TryCancel(); }

  bool Read() {
    v1::Update update;
    if (!reader_->Read(&update)) return false;
    const Status applied = Apply(FromProto(update), &state_);
    EXPECT_TRUE(applied.ok()) << applied.message();
    ++updates_;
    return true;
  }
  grpc::Status Finish() { return reader_->Finish(); }
  const NodeState& state() const { return state_; }
  int updates() const { return updates_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::Update>> reader_;
  NodeState state_;
  int updates_ = 0;
};

class DeviceViewServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    source_.Set(FullState(1));
    Serve();
    stub_ = v1::DeviceView::NewStub(
        grpc::CreateChannel("unix:" + path_, grpc::InsecureChannelCredentials()));
  }
  void Serve() {
    auto server = DeviceViewServer::Serve(path_, source_);
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.Path("private/view.sock");
  FakeSource source_;
  std::unique_ptr<DeviceViewServer> server_;
  std::unique_ptr<v1::DeviceView::Stub> stub_;
};

TEST_F(DeviceViewServerTest, OnlyItsOwnerMayConnect) {
  struct stat status = {};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  ASSERT_EQ(::lstat(directory_.Path("private").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
}

TEST_F(DeviceViewServerTest, SnapshotIsTheWholeState) {
  grpc::ClientContext context;
  v1::Update update;
  ASSERT_TRUE(stub_->GetSnapshot(&context, v1::GetSnapshotRequest(), &update).ok());
  NodeState state;
  ASSERT_TRUE(Apply(FromProto(update), &state).ok());
  EXPECT_EQ(state, FullState(1));
}

TEST_F(DeviceViewServerTest, WatchBeginsWithTheStateAndGoesOnWithChanges) {
  Watcher watcher(*stub_);
  ASSERT_TRUE(watcher.Read());
  EXPECT_EQ(watcher.state(), FullState(1));
  NodeState next = FullState(2);
  next.devices["npu-0"].health.healthy = true;
  source_.Set(next);
  ASSERT_TRUE(watcher.Read());
  EXPECT_EQ(watcher.state(), next);
}

TEST_F(DeviceViewServerTest, AWatcherThatDoesNotReadIsWaitedForByNobody) {
  Watcher slow(*stub_);
  Watcher quick(*stub_);
  ASSERT_TRUE(slow.Read());
  ASSERT_TRUE(quick.Read());
  // More than the transport's buffers hold, so that the slow watcher's writes do not complete.
  constexpr uint64_t kStates = 2000;
  const std::string large(16 * 1024, 'x');
  for (uint64_t sequence = 2; sequence <= kStates; ++sequence) {
    NodeState next = FullState(sequence);
    next.facts.problem = large + std::to_string(sequence);
    source_.Set(next);
  }
  while (quick.state().sequence < kStates) ASSERT_TRUE(quick.Read());
  while (slow.state().sequence < kStates) ASSERT_TRUE(slow.Read());
  EXPECT_EQ(slow.state(), *source_.Current());
  EXPECT_LT(slow.updates(), static_cast<int>(kStates) / 2) << "every state was queued";
}

TEST_F(DeviceViewServerTest, RefusesMoreWatchersThanItServes) {
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (size_t i = 0; i < DeviceViewServer::kMaxWatchers; ++i) {
    watchers.push_back(std::make_unique<Watcher>(*stub_));
    ASSERT_TRUE(watchers.back()->Read());
  }
  Watcher refused(*stub_);
  EXPECT_FALSE(refused.Read());
  EXPECT_EQ(refused.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  source_.Set(FullState(2));
  ASSERT_TRUE(watchers[0]->Read()) << "the others are served as before";
}

TEST_F(DeviceViewServerTest, EndsWatchesAndRemovesTheSocket) {
  Watcher watcher(*stub_);
  ASSERT_TRUE(watcher.Read());
  server_.reset();
  EXPECT_FALSE(watcher.Read());
  EXPECT_EQ(watcher.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(std::filesystem::exists(path_));
  source_.Set(FullState(2));  // nobody listens any more
}

TEST_F(DeviceViewServerTest, SeesThatItsSocketIsGone) {
  EXPECT_TRUE(server_->SocketInPlace());
  std::filesystem::remove(path_);
  EXPECT_FALSE(server_->SocketInPlace());
}

TEST_F(DeviceViewServerTest, RefusesAPathThatIsServedOrCannotBe) {
  FakeSource other;
  const Status taken = DeviceViewServer::Serve(path_, other).status();
  EXPECT_EQ(taken.code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(taken.message(), HasSubstr(path_));
  const Status too_long =
      DeviceViewServer::Serve(directory_.Path(std::string(120, 'x')), other).status();
  EXPECT_EQ(too_long.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(too_long.message(), HasSubstr("107"));
  EXPECT_FALSE(DeviceViewServer::Serve(directory_.Path("no/such/view.sock"), other).ok());
}

}  // namespace
}  // namespace npu_ipc::device_view
