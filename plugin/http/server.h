// The one HTTP listener of a daemon: probes and metrics, nothing else.
#pragma once

#include <stdint.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "hal/base/result.h"

namespace npu_ipc::http {

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Called on the server's threads, concurrently: what it reads must be safe for that.
using Handler = std::function<Response()>;

// Serves GET on a set of exact paths; everything else is 404. Requests with a body are refused.
// Uses one thread to accept and two to answer, with the signal mask of the thread that starts it.
class Server {
 public:
  // `address` is "host:port" ("[::1]:9500" for IPv6). An empty host is every address of the
  // machine, port 0 one that is free. kInvalidArgument when it is not of that form; kUnavailable
  // when it cannot be listened at. Serving when it returns.
  static Result<std::unique_ptr<Server>> Start(const std::string& address,
                                               std::map<std::string, Handler> handlers);
  ~Server();  // waits for the answers under way
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where it listens, with the port that was chosen: "0.0.0.0:41234".
  const std::string& address() const { return address_; }
  uint16_t port() const { return port_; }

 private:
  struct Implementation;
  Server(std::unique_ptr<Implementation> implementation, std::string address, uint16_t port);

  std::unique_ptr<Implementation> implementation_;
  std::string address_;
  uint16_t port_;
};

}  // namespace npu_ipc::http
