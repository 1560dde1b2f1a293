// A gRPC server at a local socket. Included by files that npu_ipc_grpc_sources names.
#pragma once

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "hal/base/result.h"
#include "hal/base/unix_socket.h"
#include "plugin/grpc/keep_running.h"

namespace npu_ipc {

// The only one at its path, which only its user may connect to (mode 0600). Its destructor cancels
// the calls that are open, and waits for their end; gRPC removes the socket.
class UnixServer {
 public:
  // Serves when it returns; a socket that a dead process left is replaced. `service` must outlive
  // the server. kInvalidArgument when the path does not fit a socket address (107 bytes);
  // kAlreadyExists when another live process serves the path (it holds <path>.lock); kUnavailable
  // when gRPC cannot listen there.
  static Result<std::unique_ptr<UnixServer>> Serve(const std::string& path,
                                                   grpc::Service& service) {
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
      return Status(StatusCode::kInvalidArgument,
                    "socket path '" + path + "' has " + std::to_string(path.size()) +
                        " bytes; a local socket's path has at most " +
                        std::to_string(sizeof(sockaddr_un::sun_path) - 1));
    }
    Result<SocketLock> lock = SocketLock::Take(path);
    if (!lock.ok()) return lock.status();
    std::unique_ptr<UnixServer> server(new UnixServer(path, std::move(*lock)));
    if (!server->Listen(service)) {
      return Status(StatusCode::kUnavailable, "cannot serve at " + path);
    }
    return server;
  }

  ~UnixServer() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }
  UnixServer(const UnixServer&) = delete;
  UnixServer& operator=(const UnixServer&) = delete;

  // Whether the socket at the path is still the one that was made.
  bool SocketInPlace() const {
    struct stat found = {};
    return ::lstat(path_.c_str(), &found) == 0 && found.st_dev == made_.st_dev &&
           found.st_ino == made_.st_ino;
  }

 private:
  UnixServer(std::string path, SocketLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  bool Listen(grpc::Service& service) {
    KeepGrpcRunning();
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("unix:" + path_, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    server_ = builder.BuildAndStart();
    return server_ != nullptr && port != 0 && ::chmod(path_.c_str(), 0600) == 0 &&
           ::lstat(path_.c_str(), &made_) == 0;
  }

  const std::string path_;
  const SocketLock lock_;
  struct stat made_ = {};  // the socket
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace npu_ipc
