#include "plugin/device_view/device_view_server.h"

#include <errno.h>
#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <filesystem>
#include <mutex>
#include <set>
#include <utility>

#include "hal/base/posix_error.h"
#include "plugin/device_view/conversion.h"
#include "plugin/device_view/proto/device_view.grpc.pb.h"
#include "plugin/grpc/state_stream.h"
#include "plugin/grpc/unix_server.h"

namespace npu_ipc::device_view {
namespace {

namespace v1 = npu::ipc::v1;

constexpr mode_t kDirectoryMode = 0700;

class WatchStream;

// The open watches of one server. Shared with them, as they may outlive the server by a moment.
class WatchHub {
 public:
  explicit WatchHub(const DeviceStateSource& source) : source_(source) {}

  std::shared_ptr<const NodeState> Current() const { return source_.Current(); }

  // False where there are as many as may be.
  bool Add(WatchStream* stream) {
    const std::lock_guard lock(mutex_);
    return streams_.size() < DeviceViewServer::kMaxWatchers && streams_.insert(stream).second;
  }
  void Remove(WatchStream* stream) {
    const std::lock_guard lock(mutex_);
    streams_.erase(stream);
  }
  void StateChanged();

 private:
  const DeviceStateSource& source_;
  std::mutex mutex_;
  std::set<WatchStream*> streams_;  // guarded by mutex_; taken before a stream's own
};

// One Watch call. Deletes itself when gRPC is done with it.
class WatchStream final : public StateStream<v1::Update> {
 public:
  explicit WatchStream(std::shared_ptr<WatchHub> hub) : hub_(std::move(hub)) {
    if (hub_->Add(this)) {
      StateChanged();
    } else {
      Finish({grpc::StatusCode::RESOURCE_EXHAUSTED,
              "as many as may watch at once do already: " +
                  std::to_string(DeviceViewServer::kMaxWatchers)});
    }
  }

  void OnDone() override {
    hub_->Remove(this);
    delete this;
  }

 private:
  // What has changed since the last update.
  bool Describe(v1::Update* update) override {
    std::shared_ptr<const NodeState> state = hub_->Current();
    if (state->sequence == sent_->sequence) return false;
    update->Clear();
    ToProto(Difference(*sent_, *state), update);
    sent_ = std::move(state);
    return true;
  }

  const std::shared_ptr<WatchHub> hub_;
  std::shared_ptr<const NodeState> sent_ = std::make_shared<const NodeState>();
};

void WatchHub::StateChanged() {
  const std::lock_guard lock(mutex_);
  for (WatchStream* stream : streams_) stream->StateChanged();
}

Status MakeDirectory(const std::string& socket_path) {
  const std::string directory = std::filesystem::path(socket_path).parent_path();
  if (::mkdir(directory.c_str(), kDirectoryMode) == 0 || errno == EEXIST) return Status::Ok();
  return PosixError(errno, "make the directory " + directory);
}

}  // namespace

class DeviceViewServer::Service final : public v1::DeviceView::CallbackService {
 public:
  explicit Service(DeviceStateSource& source)
      : source_(source), hub_(std::make_shared<WatchHub>(source)) {}
  ~Service() override { source_.SetListener({}); }

  Status Serve(const std::string& path) {
    Result<std::unique_ptr<UnixServer>> server = UnixServer::Serve(path, *this);
    if (!server.ok()) return server.status();
    server_ = std::move(*server);
    source_.SetListener([hub = hub_] { hub->StateChanged(); });
    return Status::Ok();
  }
  bool SocketInPlace() const { return server_->SocketInPlace(); }

  grpc::ServerUnaryReactor* GetSnapshot(grpc::CallbackServerContext* context,
                                        const v1::GetSnapshotRequest*,
                                        v1::Update* update) override {
    ToProto(Difference(NodeState(), *source_.Current()), update);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerWriteReactor<v1::Update>* Watch(grpc::CallbackServerContext*,
                                              const v1::WatchRequest*) override {
    return new WatchStream(hub_);
  }

 private:
  DeviceStateSource& source_;
  const std::shared_ptr<WatchHub> hub_;
  std::unique_ptr<UnixServer> server_;  // last: its calls use what is above
};

DeviceViewServer::DeviceViewServer(std::unique_ptr<Service> service)
    : service_(std::move(service)) {}

DeviceViewServer::~DeviceViewServer() = default;

Result<std::unique_ptr<DeviceViewServer>> DeviceViewServer::Serve(const std::string& path,
                                                                  DeviceStateSource& source) {
  if (Status made = MakeDirectory(path); !made.ok()) return made;
  auto service = std::make_unique<Service>(source);
  if (Status served = service->Serve(path); !served.ok()) return served;
  return std::unique_ptr<DeviceViewServer>(new DeviceViewServer(std::move(service)));
}

bool DeviceViewServer::SocketInPlace() const { return service_->SocketInPlace(); }

}  // namespace npu_ipc::device_view
