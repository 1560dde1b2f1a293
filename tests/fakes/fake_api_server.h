// An API server in a test's own process: real HTTP and TLS, objects in memory, faults on demand.
#pragma once

#include <stdint.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "plugin/cluster/cluster_config.h"
#include "plugin/cluster/resource.h"
#include "tests/fakes/test_authority.h"

namespace npu_ipc {

struct FakeApiServerOptions {
  bool tls = true;
  // The subject alternative names of its certificate.
  std::vector<std::string> names = {"IP:127.0.0.1", "DNS:localhost"};
  long certificate_valid_seconds = 86'400;
  bool demand_client_certificate = false;
};

// What the next requests meet instead of an answer.
struct FakeFault {
  enum class Kind {
    kNone,    // the right answer
    kStatus,  // http_status with a Status object
    kHtml,    // http_status with a page, as a proxy in between would
    kHold,    // the right answer, after Release()
    kHang,    // no answer until the server stops
    kSlow,    // the right answer, 20 bytes a second; not for watches
    kCut,     // half the right answer (of a watch: its headers), then the connection is closed
    kNoJson,  // 200 with something else
    kGzip,    // the right answer's headers with a body that is said to be compressed
  };
  std::string verb;  // "get", "list", "watch", "create", "patch"; empty: any
  Kind kind = Kind::kStatus;
  int http_status = 500;
  std::string reason;
  std::string message = "as the test asked";
  int retry_after_seconds = 0;
  int times = 1;
};

// As it was received.
struct FakeRequest {
  std::string verb;  // as for FakeFault
  std::string path;
  std::map<std::string, std::string> parameters;
  std::string content_type;
  std::string accept_encoding;
  std::string token;
  std::string body;
};

// Speaks as kube-apiserver does in what a node's daemon uses: get, list with limit and continue,
// watch with bookmarks, create, and merge, strategic merge (of maps) and apply patches (of labels),
// with resource versions, field selectors, and Status objects. Safe for concurrent use.
class FakeApiServer {
 public:
  using Json = nlohmann::json;

  // Serving, on a free port of 127.0.0.1, when it returns. Aborts when that cannot be done.
  explicit FakeApiServer(const FakeApiServerOptions& options = {});
  ~FakeApiServer();  // ends what is under way
  FakeApiServer(const FakeApiServer&) = delete;
  FakeApiServer& operator=(const FakeApiServer&) = delete;

  // How to reach it: its authority and, until SetToken(), "token-1".
  cluster::ClusterConfig Config() const;
  TestAuthority& authority();
  uint16_t port() const;

  // Only this token is accepted from now on.
  void SetToken(const std::string& token);

  // Creates the object, or replaces it with another resource version. It gets what is missing of
  // its metadata: name, namespace (from `path`), uid.
  void Put(const cluster::ObjectPath& path, Json object);
  // REQUIRES: it is there.
  void Delete(const cluster::ObjectPath& path);
  std::optional<Json> Find(const cluster::ObjectPath& path) const;
  std::vector<Json> All(const cluster::Resource& resource) const;

  // Forgets which objects there were: the resource versions up to now expire, and so do the
  // continue tokens that are out.
  void Compact();

  // What watches that are open now get.
  void SendBookmarks();
  void SendToWatches(const std::string& raw);
  void EndWatches();  // as when timeoutSeconds is over
  void CutWatches();  // as when the server dies

  void Inject(FakeFault fault);  // after those that are still to come
  void Release();                // what kHold holds now

  std::vector<FakeRequest> Requests(const std::string& verb = "") const;

  // Until `condition` holds, looked at after each request and each change; false after 30 s.
  bool WaitUntil(const std::function<bool()>& condition) const;
  bool WaitForRequests(const std::string& verb, size_t count) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace npu_ipc
