#include "plugin/cluster/api_client.h"

#include <signal.h>

#include <utility>

#include "plugin/cluster/http_call.h"
#include "plugin/cluster/line_splitter.h"
#include "plugin/cluster/listing.h"
#include "plugin/cluster/reply.h"

namespace npu_ipc::cluster {
namespace {

constexpr size_t kMaxBodyBytes = 64 << 20;
constexpr Duration kWatchGrace = std::chrono::seconds(30);
constexpr char kUserAgent[] = "npu-ipc";

const char* ContentType(PatchType type) {
  switch (type) {
    case PatchType::kStrategicMerge:
      return "application/strategic-merge-patch+json";
    case PatchType::kApply:
      return "application/apply-patch+yaml";  // of which JSON is a subset
    case PatchType::kMerge:
      break;
  }
  return "application/merge-patch+json";
}

void IgnoreBrokenPipes() {
  struct sigaction current = {};
  if (::sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) {
    ::signal(SIGPIPE, SIG_IGN);
  }
}

HttpRequest MakeRequest(const char* method, const ObjectPath& path,
                        const QueryParameters& parameters = {}) {
  HttpRequest request;
  request.method = method;
  request.target = UrlPath(path) + UrlQuery(parameters);
  request.headers = {{"Accept", "application/json"},
                     {"Accept-Encoding", "identity"},  // lists are asked for once in a long while
                     {"User-Agent", kUserAgent}};
  return request;
}

QueryParameters SelectionParameters(const Selection& selection) {
  QueryParameters parameters;
  if (!selection.field_selector.empty()) {
    parameters.emplace_back("fieldSelector", selection.field_selector);
  }
  if (!selection.label_selector.empty()) {
    parameters.emplace_back("labelSelector", selection.label_selector);
  }
  return parameters;
}

// A header must stay one line, whatever is in the token's file.
Status AddToken(const Secret& token, HttpRequest* request) {
  if (token.Reveal().find_first_of("\r\n") != std::string::npos) {
    return {StatusCode::kInvalidArgument, "the token is more than one line"};
  }
  request->headers.emplace_back("Authorization", "Bearer " + token.Reveal());
  return Status::Ok();
}

}  // namespace

ApiClient::ApiClient(ClusterConfig config) : config_(std::move(config)) { IgnoreBrokenPipes(); }

ApiClient::~ApiClient() = default;

Result<ClusterConfig> ApiClient::ReadConfig() const {
  if (!config_.read_again) return config_;
  Result<ClusterConfig> config = config_.read_again();
  if (config.ok()) return config;
  return Status(StatusCode::kUnavailable, config.status().message());
}

Result<HttpAnswer> ApiClient::SendWithToken(const HttpRequest& request, CallSupervisor::Call& call,
                                            const HttpStream* stream, Secret* sent_token) {
  const Result<ClusterConfig> config = ReadConfig();
  if (!config.ok()) return config.status();
  if (config->token.empty()) return SendHttp(*config, request, call, stream, kMaxBodyBytes);
  Result<Secret> token = config->token.Read();
  if (!token.ok()) {
    return Status(StatusCode::kUnavailable, token.status().WithContext("token").message());
  }
  HttpRequest authorized = request;
  if (const Status added = AddToken(*token, &authorized); !added.ok()) return added;
  *sent_token = std::move(token).value();
  return SendHttp(*config, authorized, call, stream, kMaxBodyBytes);
}

Result<HttpAnswer> ApiClient::Exchange(const HttpRequest& request, CallSupervisor::Call& call,
                                       const HttpStream* stream) {
  Secret sent_token;
  Result<HttpAnswer> answer = SendWithToken(request, call, stream, &sent_token);
  if (!answer.ok() || answer->status != 401) return answer;
  // The kubelet, or whoever writes the kubeconfig, may have replaced the token since it was read.
  const Result<ClusterConfig> config = ReadConfig();
  if (!config.ok()) return answer;
  const Result<Secret> token_now = config->token.Read();
  if (!token_now.ok() || *token_now == sent_token) return answer;
  return SendWithToken(request, call, stream, &sent_token);
}

Reply ApiClient::Send(const std::string& operation, const HttpRequest& request,
                      const CallOptions& options, const MemberFilter& filter) {
  CallSupervisor::Call call(supervisor_, options.canceller, SystemClock().Now() + options.timeout);
  const Result<HttpAnswer> answer = Exchange(request, call, nullptr);
  Reply reply = answer.ok() ? MakeParsedReply(operation, answer->status,
                                              filter.ReadList(answer->body), answer->retry_after)
                            : NoReply(operation, answer.status());
  if (!reply.ok()) ++failed_calls_;
  return reply;
}

Reply ApiClient::Get(const ObjectPath& path, const CallOptions& call) {
  return Send("get " + Describe(path), MakeRequest("GET", path), call);
}

Reply ApiClient::Create(const ObjectPath& collection, const Json& object, const CallOptions& call) {
  HttpRequest request = MakeRequest("POST", collection);
  request.headers.emplace_back("Content-Type", "application/json");
  request.body = ToText(object);
  return Send("create " + Describe(collection), request, call);
}

Reply ApiClient::Patch(const ObjectPath& path, const PatchOptions& options, const Json& patch,
                       const CallOptions& call) {
  QueryParameters parameters;
  if (!options.field_manager.empty()) {
    parameters.emplace_back("fieldManager", options.field_manager);
  }
  if (options.type == PatchType::kApply && options.force) parameters.emplace_back("force", "true");
  HttpRequest request = MakeRequest("PATCH", path, parameters);
  request.headers.emplace_back("Content-Type", ContentType(options.type));
  request.body = ToText(patch);
  return Send("patch " + Describe(path), request, call);
}

Reply ApiClient::ListPages(const ObjectPath& collection, const QueryParameters& parameters,
                           const MemberFilter& left_out, const CallOptions& call,
                           Listing* listing) {
  const std::string operation = "list " + Describe(collection);
  listing->items.clear();
  std::string next;
  for (;;) {
    QueryParameters page = parameters;
    if (!next.empty()) page.emplace_back("continue", next);
    Reply reply = Send(operation, MakeRequest("GET", collection, page), call, left_out);
    if (!reply.ok()) return reply;
    const auto items = reply.body.find("items");
    const std::string version = FindText(reply.body, {"metadata", "resourceVersion"});
    if (items == reply.body.end() || !(items->is_array() || items->is_null()) || version.empty()) {
      return NoReply(operation, Status(StatusCode::kUnavailable,
                                       "the answer is no list with a resource version"));
    }
    for (Json& item : *items) listing->items.push_back(std::move(item));
    next = FindText(reply.body, {"metadata", "continue"});
    if (!next.empty()) continue;
    listing->resource_version = version;
    reply.body = nullptr;
    return reply;
  }
}

Listing ApiClient::List(const ObjectPath& collection, const ListOptions& options,
                        const CallOptions& call) {
  const QueryParameters selection = SelectionParameters(options.selection);
  QueryParameters paged = selection;
  paged.emplace_back("limit", std::to_string(options.page_size));
  Listing listing;
  listing.reply = ListPages(collection, paged, options.left_out, call, &listing);
  if (listing.reply.gone())
    listing.reply = ListPages(collection, selection, options.left_out, call, &listing);
  if (!listing.reply.ok()) listing.items.clear();
  return listing;
}

Reply ApiClient::Watch(const ObjectPath& collection, const WatchOptions& options, WatchLines& lines,
                       const CallOptions& call) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options.duration);
  QueryParameters parameters = SelectionParameters(options.selection);
  parameters.insert(parameters.end(), {{"watch", "true"},
                                       {"allowWatchBookmarks", "true"},
                                       {"resourceVersion", options.resource_version},
                                       {"timeoutSeconds", std::to_string(seconds.count())}});
  CallSupervisor::Call supervised(supervisor_, call.canceller, SystemClock().Now() + call.timeout);
  LineSplitter splitter(
      options.max_line_bytes, [&lines](std::string_view line) { return lines.OnLine(line); },
      [&] { lines.OnLineTooLong(options.max_line_bytes); });
  HttpStream stream;
  stream.on_started = [&] {
    supervised.SetDeadline(SystemClock().Now() + seconds + kWatchGrace);
    lines.OnEstablished();
  };
  stream.on_piece = [&splitter](std::string_view piece) { return splitter.Feed(piece); };
  const std::string operation = "watch " + Describe(collection);
  const Result<HttpAnswer> answer =
      Exchange(MakeRequest("GET", collection, parameters), supervised, &stream);
  if (!answer.ok() || answer->status != 200) ++failed_calls_;
  if (!answer.ok()) return NoReply(operation, answer.status());
  if (answer->status != 200) {
    return MakeReply(operation, answer->status, answer->body, answer->retry_after);
  }
  Reply reply;
  reply.http_status = answer->status;
  return reply;
}

}  // namespace npu_ipc::cluster
