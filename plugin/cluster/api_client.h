// The Kubernetes API, as far as a node's daemon calls it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hal/base/clock.h"
#include "hal/base/result.h"
#include "plugin/cluster/call_supervisor.h"
#include "plugin/cluster/canceller.h"
#include "plugin/cluster/cluster_config.h"
#include "plugin/cluster/json.h"
#include "plugin/cluster/member_filter.h"
#include "plugin/cluster/resource.h"

namespace npu_ipc::cluster {

struct HttpAnswer;  // http_call.h
struct HttpRequest;
struct HttpStream;
struct Listing;  // listing.h
struct Reply;    // reply.h

struct CallOptions {
  Duration timeout = std::chrono::seconds(30);  // for all of it, connecting included
  Canceller* canceller = nullptr;               // ends the call at once; may be null
};

struct Selection {
  std::string field_selector;  // "spec.nodeName=node-1"; empty: all
  std::string label_selector;
};

struct ListOptions {
  Selection selection;
  size_t page_size = 500;
  MemberFilter left_out;  // of each object
};

struct WatchOptions {
  Selection selection;
  std::string resource_version;                 // events after it
  Duration duration = std::chrono::minutes(5);  // the server ends the watch then; whole seconds
  size_t max_line_bytes = 8 << 20;              // etcd holds objects of up to 1.5 MB
};

// Where a watch's lines go. Called on the thread that watches.
class WatchLines {
 public:
  virtual ~WatchLines() = default;
  virtual void OnEstablished() = 0;                       // the server has accepted the watch
  virtual bool OnLine(std::string_view line) = 0;         // one event; false ends the watch
  virtual void OnLineTooLong(size_t max_line_bytes) = 0;  // dropped
};

enum class PatchType {
  kMerge,           // RFC 7386
  kStrategicMerge,  // Kubernetes' own: lists merge by key
  kApply,           // server-side apply: an object with apiVersion, kind and name
};

struct PatchOptions {
  PatchType type = PatchType::kMerge;
  std::string field_manager;  // who owns the fields; must be set for kApply
  bool force = false;         // kApply: takes fields over that others own
};

// Safe for concurrent use: each call blocks its caller only, on a connection of its own. Owns one
// thread, which ends calls at their deadline. Deadlines are by the system's monotonic clock.
//
// Each call reads the credentials and the kubeconfig again: a call that is answered with 401 is
// made once more if the token is another by then. Nothing else is retried here. Redirects are not
// followed, and proxies in the environment are not used. No token, key or body of a request is ever
// in a message.
class ApiClient {
 public:
  // Makes the process ignore SIGPIPE unless it handles it: a connection that breaks while it is
  // written to is an error to report. Connects to nothing yet.
  explicit ApiClient(ClusterConfig config);
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  // REQUIRES: path.name is set.
  Reply Get(const ObjectPath& path, const CallOptions& call = {});

  // All objects of a collection, page by page, at one resource version as recent as the server has
  // acknowledged. Where the first pages' version has expired before the last page, everything is
  // asked for once more in one page. `timeout` is for each page.
  Listing List(const ObjectPath& collection, const ListOptions& options,
               const CallOptions& call = {});

  // Events of a collection, bookmarks included, until the server ends the watch (then ok), `lines`
  // or `call.canceller` does, or the connection breaks. `call.timeout` is for the server to accept
  // the watch; from then on it has the watch's own duration and half a minute more.
  Reply Watch(const ObjectPath& collection, const WatchOptions& options, WatchLines& lines,
              const CallOptions& call = {});

  // Creates `object` in a collection.
  Reply Create(const ObjectPath& collection, const Json& object, const CallOptions& call = {});

  // REQUIRES: path.name is set.
  Reply Patch(const ObjectPath& path, const PatchOptions& options, const Json& patch,
              const CallOptions& call = {});

  // Calls that did not get what they asked for, since the start.
  uint64_t failed_calls() const { return failed_calls_; }

 private:
  // `filter` is of a list's objects.
  Reply Send(const std::string& operation, const HttpRequest& request, const CallOptions& options,
             const MemberFilter& filter = {});
  // As it is now. kUnavailable.
  Result<ClusterConfig> ReadConfig() const;
  // With the token, and once more with a new one.
  Result<HttpAnswer> Exchange(const HttpRequest& request, CallSupervisor::Call& call,
                              const HttpStream* stream);
  Result<HttpAnswer> SendWithToken(const HttpRequest& request, CallSupervisor::Call& call,
                                   const HttpStream* stream, Secret* sent_token);
  Reply ListPages(const ObjectPath& collection, const QueryParameters& parameters,
                  const MemberFilter& left_out, const CallOptions& call, Listing* listing);

  const ClusterConfig config_;  // as it was at the start
  CallSupervisor supervisor_;
  std::atomic<uint64_t> failed_calls_ = 0;
};

}  // namespace npu_ipc::cluster
