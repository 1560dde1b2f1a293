// One HTTP request to the API server, on a connection of its own.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hal/base/result.h"
#include "plugin/cluster/call_supervisor.h"
#include "plugin/cluster/cluster_config.h"

namespace npu_ipc::cluster {

struct HttpRequest {
  std::string method;
  std::string target;  // path and query, encoded
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

struct HttpAnswer {
  int status = 0;
  std::string retry_after;  // the header, or empty
  std::string body;         // without what was streamed
};

// Where a successful (200) answer's body goes piece by piece as it arrives; both run on the thread
// that makes the call.
struct HttpStream {
  std::function<void()> on_started;
  std::function<bool(std::string_view piece)> on_piece;  // false ends the call, which then is ok
};

// Connects, sends, reads the answer. The connection is not kept: there are some calls a minute, and
// a kept one is one more thing that may have gone stale. Reads the credentials' files each time.
//
// kUnavailable says why no whole answer came (no connection, TLS refused, cut off),
// kDeadlineExceeded or kUnavailable that `call` was ended, kResourceExhausted that the body is
// larger than `max_body_bytes`; otherwise there is an answer, whatever its status. `stream` may be
// null. Safe for concurrent use, each with a `call` of its own. A host name is looked up with
// getaddrinfo(3), which `call` cannot end.
Result<HttpAnswer> SendHttp(const ClusterConfig& config, const HttpRequest& request,
                            CallSupervisor::Call& call, const HttpStream* stream,
                            size_t max_body_bytes);

}  // namespace npu_ipc::cluster
