#include "plugin/device_view/device_view_client.h"

#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "plugin/device_view/conversion.h"
#include "plugin/device_view/proto/device_view.grpc.pb.h"
#include "plugin/grpc/keep_running.h"

namespace npu_ipc::device_view {
namespace {

namespace v1 = npu::ipc::v1;

std::shared_ptr<grpc::Channel> Dial(const std::string& socket) {
  KeepGrpcRunning();
  grpc::ChannelArguments arguments;
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  // The back-off is ours: gRPC's own would be kept from one channel to the next.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

std::optional<Duration> View::Age(TimePoint now) const {
  if (!received) return std::nullopt;
  return now - *received;
}

DeviceViewClient::DeviceViewClient(const ClientSettings& settings, Sink sink, const Clock& clock)
    : settings_(settings), sink_(std::move(sink)), clock_(clock), thread_([this] { Run(); }) {}

DeviceViewClient::~DeviceViewClient() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  stopping_changed_.notify_all();
  thread_.join();
}

View DeviceViewClient::Current() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

void DeviceViewClient::Run() {
  Duration retry_delay = settings_.first_retry;
  for (;;) {
    const std::string problem = Watch(&retry_delay);
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    OnDisconnected(problem);
    std::unique_lock lock(mutex_);
    stopping_changed_.wait_for(lock, retry_delay, [this] { return stopping_; });
    if (stopping_) return;
    retry_delay = std::min(2 * retry_delay, settings_.last_retry);
  }
}

std::string DeviceViewClient::Watch(Duration* retry_delay) {
  const auto stub = v1::DeviceView::NewStub(Dial(settings_.socket));
  grpc::ClientContext context;
  if (!BeginCall(&context)) return "";
  const auto reader = stub->Watch(&context, v1::WatchRequest());
  NodeState state;
  v1::Update update;
  std::string problem;
  while (problem.empty() && reader->Read(&update)) {
    const Status applied = Apply(FromProto(update), &state);
    if (applied.ok()) {
      OnState(std::make_shared<const NodeState>(state));
      *retry_delay = settings_.first_retry;
    } else {
      problem = applied.message();
      context.TryCancel();
    }
  }
  while (reader->Read(&update)) {
  }
  const grpc::Status ended = reader->Finish();
  EndCall();
  if (!problem.empty()) return problem;
  return "the device plugin at " + settings_.socket + " is away: " + ended.error_message();
}

bool DeviceViewClient::BeginCall(grpc::ClientContext* context) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return false;
  call_ = context;
  return true;
}

void DeviceViewClient::EndCall() {
  const std::lock_guard lock(mutex_);
  call_ = nullptr;
}

void DeviceViewClient::OnState(std::shared_ptr<const NodeState> state) {
  View view;
  bool was_connected = false;
  {
    const std::lock_guard lock(mutex_);
    was_connected = view_.connected;
    view_ = {std::move(state), clock_.Now(), true, ""};
    view = view_;
  }
  if (!was_connected) {
    spdlog::info("device view connected: socket={} devices={}", settings_.socket,
                 view.state->devices.size());
  }
  sink_(view);
}

void DeviceViewClient::OnDisconnected(const std::string& problem) {
  View view;
  {
    const std::lock_guard lock(mutex_);
    if (!view_.connected && view_.problem == problem) return;
    view_.connected = false;
    view_.problem = problem;
    view = view_;
  }
  spdlog::warn("no device view: reason={}", problem);
  sink_(view);
}

}  // namespace npu_ipc::device_view
