#include "plugin/cluster/http_call.h"

#include <httplib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <memory>

#include "plugin/cluster/tls.h"

namespace npu_ipc::cluster {
namespace {

// The library's own timeouts only back the supervisor up.
constexpr time_t kLibraryTimeoutSeconds = 3600;
constexpr int kHttpOk = 200;

void SetOption(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof(value));
}

// A watch may be silent for minutes: only the kernel can tell that its peer is gone.
void SetSocketOptions(int fd) {
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000);
}

std::string HostHeader(const ClusterConfig& config) {
  const std::string name = ServerName(config);
  return name.substr(name.find("://") + 3);
}

struct Client {
  std::unique_ptr<httplib::ClientImpl> http;
  std::string tls_problem;  // written during the handshake
};

Status MakeClient(const ClusterConfig& config, Client* client) {
  if (config.tls) {
    auto secure = std::make_unique<httplib::SSLClient>(config.host, config.port);
    // Not the library's own check: it trusts the system's roots beside the given ones. OpenSSL
    // does the same and more within the handshake, as ConfigureTls() asks it to.
    secure->enable_server_certificate_verification(false);
    const Status status = ConfigureTls(config, secure->ssl_context(), &client->tls_problem);
    if (!status.ok()) return status;
    client->http = std::move(secure);
  } else {
    client->http = std::make_unique<httplib::ClientImpl>(config.host, config.port);
  }
  client->http->set_connection_timeout(kLibraryTimeoutSeconds);
  client->http->set_read_timeout(kLibraryTimeoutSeconds);
  client->http->set_write_timeout(kLibraryTimeoutSeconds);
  client->http->set_url_encode(false);
  client->http->set_decompress(false);
  return Status::Ok();
}

// What is read of the answer, and why its reading was ended.
struct Reading {
  HttpAnswer answer;
  bool too_large = false;
  bool ended_by_stream = false;
};

httplib::Request MakeRequest(const ClusterConfig& config, const HttpRequest& request,
                             CallSupervisor::Call& call, const HttpStream* stream,
                             size_t max_body_bytes, Reading* reading) {
  httplib::Request out;
  out.method = request.method;
  out.path = config.base_path + request.target;
  out.headers.emplace("Host", HostHeader(config));
  for (const auto& [name, value] : request.headers) out.headers.emplace(name, value);
  out.body = request.body;
  out.response_handler = [&call, stream, reading](const httplib::Response& response) {
    reading->answer.status = response.status;
    reading->answer.retry_after = response.get_header_value("Retry-After");
    if (call.ended_by() != CallSupervisor::EndedBy::kItself) return false;
    if (stream != nullptr && response.status == kHttpOk) stream->on_started();
    return true;
  };
  out.content_receiver = [&call, stream, max_body_bytes, reading](const char* data, size_t size,
                                                                  uint64_t, uint64_t) {
    if (call.ended_by() != CallSupervisor::EndedBy::kItself) return false;
    if (stream != nullptr && reading->answer.status == kHttpOk) {
      reading->ended_by_stream = !stream->on_piece({data, size});
      return !reading->ended_by_stream;
    }
    reading->too_large = size > max_body_bytes - reading->answer.body.size();
    if (!reading->too_large) reading->answer.body.append(data, size);
    return !reading->too_large;
  };
  return out;
}

std::string Describe(httplib::Error error, const std::string& tls_problem) {
  switch (error) {
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
      return "cannot connect";
    case httplib::Error::SSLConnection: {
      if (!tls_problem.empty()) return "its certificate is refused: " + tls_problem;
      const char* reason = ERR_reason_error_string(ERR_peek_last_error());
      return "TLS handshake failed: " + std::string(reason != nullptr ? reason : "cut off");
    }
    case httplib::Error::Read:
      return "the connection was cut while its answer was read";
    case httplib::Error::Write:
      return "the connection was cut while the request was written";
    default:
      return "HTTP error: " + httplib::to_string(error);
  }
}

}  // namespace

Result<HttpAnswer> SendHttp(const ClusterConfig& config, const HttpRequest& request,
                            CallSupervisor::Call& call, const HttpStream* stream,
                            size_t max_body_bytes) {
  Client client;
  if (const Status status = MakeClient(config, &client); !status.ok()) return status;
  client.http->set_socket_options([&call](int fd) {
    SetSocketOptions(fd);
    call.UseSocket(fd);
  });
  Reading reading;
  httplib::Request out = MakeRequest(config, request, call, stream, max_body_bytes, &reading);
  httplib::Response ignored;
  httplib::Error error = httplib::Error::Success;
  ERR_clear_error();
  const bool sent = client.http->send(out, ignored, error);
  if (sent || reading.ended_by_stream) return std::move(reading.answer);
  if (reading.too_large) {
    return Status(StatusCode::kResourceExhausted,
                  "the answer is larger than " + std::to_string(max_body_bytes) + " bytes");
  }
  switch (call.ended_by()) {
    case CallSupervisor::EndedBy::kCanceller:
      return Status(StatusCode::kUnavailable, "stopped");
    case CallSupervisor::EndedBy::kDeadline:
      return Status(StatusCode::kDeadlineExceeded, "no answer in time");
    case CallSupervisor::EndedBy::kItself:
      break;
  }
  return Status(StatusCode::kUnavailable,
                ServerName(config) + ": " + Describe(error, client.tls_problem));
}

}  // namespace npu_ipc::cluster
