#include "plugin/http/server.h"

#include <errno.h>
#include <httplib.h>

#include <charconv>
#include <thread>
#include <utility>
#include <vector>

#include "hal/base/posix_error.h"

namespace npu_ipc::http {
namespace {

constexpr size_t kAnsweringThreads = 2;
constexpr time_t kTimeoutSeconds = 5;

struct HostAndPort {
  std::string host;  // empty: every address
  uint16_t port = 0;
};

Result<HostAndPort> ParseAddress(const std::string& address) {
  const Status invalid(
      StatusCode::kInvalidArgument,
      "HTTP address '" + address + "' is not host:port (':9500', '127.0.0.1:9500', '[::1]:9500')");
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return invalid;
  HostAndPort parsed;
  parsed.host = address.substr(0, colon);
  const char* end = address.data() + address.size();
  const auto [stop, error] = std::from_chars(address.data() + colon + 1, end, parsed.port);
  if (error != std::errc() || stop != end) return invalid;
  if (parsed.host.starts_with('[') && parsed.host.ends_with(']')) {
    parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  } else if (parsed.host.find(':') != std::string::npos) {
    return invalid;
  }
  return parsed;
}

std::string Join(const std::string& host, uint16_t port) {
  const bool bracketed = host.find(':') != std::string::npos;
  return (bracketed ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

void Answer(const Handler& handler, httplib::Response& out) {
  const Response response = handler();
  out.status = response.status;
  out.set_content(response.body, response.content_type.c_str());
}

}  // namespace

struct Server::Implementation {
  httplib::Server server;
  std::thread acceptor;

  // Tries each host in turn; returns the port, or 0.
  uint16_t Bind(const std::vector<std::string>& hosts, uint16_t port, std::string* bound) {
    for (const std::string& host : hosts) {
      const int chosen =
          port == 0 ? server.bind_to_any_port(host) : (server.bind_to_port(host, port) ? port : -1);
      if (chosen <= 0) continue;
      *bound = host;
      return static_cast<uint16_t>(chosen);
    }
    return 0;
  }
};

Result<std::unique_ptr<Server>> Server::Start(const std::string& address,
                                              std::map<std::string, Handler> handlers) {
  Result<HostAndPort> where = ParseAddress(address);
  if (!where.ok()) return where.status();

  auto implementation = std::make_unique<Implementation>();
  httplib::Server& server = implementation->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kAnsweringThreads); };
  server.set_read_timeout(kTimeoutSeconds);
  server.set_write_timeout(kTimeoutSeconds);
  server.set_keep_alive_timeout(kTimeoutSeconds);
  server.set_payload_max_length(0);
  // Without SO_REUSEPORT, httplib's default: it would let a second daemon share the port unseen.
  server.set_socket_options([](int fd) {
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
  for (auto& [path, handler] : handlers) {
    server.Get(path, [answer = std::move(handler)](
                         const httplib::Request&, httplib::Response& out) { Answer(answer, out); });
  }

  // "::" takes IPv4 too; a machine without IPv6 has "0.0.0.0".
  const std::vector<std::string> hosts = where->host.empty()
                                             ? std::vector<std::string>{"::", "0.0.0.0"}
                                             : std::vector<std::string>{where->host};
  std::string bound;
  errno = 0;
  const uint16_t port = implementation->Bind(hosts, where->port, &bound);
  if (port == 0) {
    return Status(StatusCode::kUnavailable,
                  PosixError(errno, "listen for HTTP at " + address).message());
  }
  // Accepted from now on: the socket listens already, the thread only serves it.
  implementation->acceptor = std::thread([&server] { server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();
  return std::unique_ptr<Server>(new Server(std::move(implementation), Join(bound, port), port));
}

Server::Server(std::unique_ptr<Implementation> implementation, std::string address, uint16_t port)
    : implementation_(std::move(implementation)), address_(std::move(address)), port_(port) {}

Server::~Server() {
  implementation_->server.stop();
  implementation_->acceptor.join();
}

}  // namespace npu_ipc::http
