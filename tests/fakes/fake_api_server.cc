#include "tests/fakes/fake_api_server.h"

#include <httplib.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "tests/fakes/fake_api_objects.h"

namespace npu_ipc {
namespace {

using Json = nlohmann::json;
using cluster::ObjectPath;

constexpr size_t kThreads = 16;
constexpr std::chrono::seconds kPatience(30);
constexpr std::chrono::milliseconds kSlowByte(50);

// "/api/v1/namespaces/ns/pods/name"; an empty plural when it is no such path.
ObjectPath ParsePath(const std::string& path) {
  std::vector<std::string> parts;
  std::istringstream text(path.substr(std::min<size_t>(1, path.size())));
  for (std::string part; std::getline(text, part, '/');) parts.push_back(part);
  ObjectPath parsed;
  size_t at = 1;
  if (parts.empty() || (parts[0] != "api" && parts[0] != "apis")) return parsed;
  const auto next = [&] { return at < parts.size() ? parts[at++] : std::string(); };
  if (parts[0] == "apis") parsed.resource.group = next();
  parsed.resource.version = next();
  std::string word = next();
  if (word == "namespaces" && at + 1 < parts.size()) {
    parsed.object_namespace = next();
    word = next();
  }
  parsed.resource.plural = word;
  parsed.name = next();
  return parsed;
}

std::string VerbOf(const httplib::Request& request, const ObjectPath& path) {
  if (request.method == "POST") return "create";
  if (request.method == "PATCH") return "patch";
  if (!path.name.empty()) return "get";
  return request.get_param_value("watch") == "true" ? "watch" : "list";
}

Json StatusObject(int http_status, const std::string& reason, const std::string& message,
                  int retry_after_seconds = 0) {
  Json status = {{"kind", "Status"},          {"apiVersion", "v1"}, {"status", "Failure"},
                 {"reason", reason},          {"message", message}, {"code", http_status},
                 {"metadata", Json::object()}};
  if (retry_after_seconds > 0) status["details"] = {{"retryAfterSeconds", retry_after_seconds}};
  return status;
}

void Answer(httplib::Response& out, int http_status, const Json& body) {
  out.status = http_status;
  out.set_content(body.dump(), "application/json");
}

void Fail(httplib::Response& out, int http_status, const std::string& reason,
          const std::string& message) {
  Answer(out, http_status, StatusObject(http_status, reason, message));
}

std::string Line(const char* type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump() + "\n";
}

}  // namespace

struct FakeApiServer::State {
  // A watch that is open; the server's thread that writes it takes from it what others put in.
  struct Watch {
    std::string collection;
    ObjectPath path;
    std::string selector;
    uint64_t version = 0;  // what has been written
    std::deque<std::string> raw;
    bool end = false;
    bool cut = false;
  };

  FakeApiServerOptions options;
  TestAuthority authority;
  std::unique_ptr<httplib::Server> server;
  std::thread acceptor;
  uint16_t port = 0;

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  // Guarded by mutex:
  bool stopping = false;
  int releases = 0;
  std::string token = "token-1";
  FakeApiObjects objects;
  std::vector<FakeRequest> requests;
  std::deque<FakeFault> faults;
  std::set<Watch*> watches;

  void MakeServer();
  void Handle(const httplib::Request& request, httplib::Response& out);
  std::optional<FakeFault> TakeFault(const std::string& verb);
  bool Misbehave(const FakeFault& fault, httplib::Response& out);
  void Serve(const std::string& verb, const ObjectPath& path, const httplib::Request& request,
             httplib::Response& out);
  void List(const ObjectPath& path, const httplib::Request& request, httplib::Response& out);
  void Create(ObjectPath path, const httplib::Request& request, httplib::Response& out);
  void Patch(const ObjectPath& path, const httplib::Request& request, httplib::Response& out);
  void StartWatch(const ObjectPath& path, const httplib::Request& request, httplib::Response& out);
  bool WriteWatch(Watch& watch, httplib::DataSink& sink, std::chrono::steady_clock::time_point end);
  std::string NewLines(Watch& watch);
  void MakeSlow(httplib::Response& out);
  void MakeCut(httplib::Response& out);
};

void FakeApiServer::State::MakeServer() {
  if (!options.tls) {
    server = std::make_unique<httplib::Server>();
    return;
  }
  const TestIdentity identity = authority.Issue(options.names, options.certificate_valid_seconds);
  server = std::make_unique<httplib::SSLServer>([&](SSL_CTX& context) {
    BIO* text = BIO_new_mem_buf(identity.certificate.data(), -1);
    X509* certificate = PEM_read_bio_X509(text, nullptr, nullptr, nullptr);
    BIO_free(text);
    text = BIO_new_mem_buf(identity.key.data(), -1);
    EVP_PKEY* key = PEM_read_bio_PrivateKey(text, nullptr, nullptr, nullptr);
    BIO_free(text);
    text = BIO_new_mem_buf(authority.certificate().data(), -1);
    X509* issuer = PEM_read_bio_X509(text, nullptr, nullptr, nullptr);
    BIO_free(text);
    const bool done = SSL_CTX_use_certificate(&context, certificate) == 1 &&
                      SSL_CTX_use_PrivateKey(&context, key) == 1 &&
                      X509_STORE_add_cert(SSL_CTX_get_cert_store(&context), issuer) == 1;
    if (options.demand_client_certificate) {
      SSL_CTX_set_verify(&context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
    X509_free(issuer);
    return done;
  });
}

void FakeApiServer::State::Handle(const httplib::Request& request, httplib::Response& out) {
  const ObjectPath path = ParsePath(request.path);
  const std::string verb = VerbOf(request, path);
  FakeRequest seen;
  seen.verb = verb;
  seen.path = request.path;
  seen.content_type = request.get_header_value("Content-Type");
  seen.accept_encoding = request.get_header_value("Accept-Encoding");
  seen.body = request.body;
  for (const auto& [name, value] : request.params) seen.parameters[name] = value;
  const std::string authorization = request.get_header_value("Authorization");
  if (authorization.starts_with("Bearer ")) seen.token = authorization.substr(7);

  std::unique_lock lock(mutex);
  requests.push_back(seen);
  changed.notify_all();
  const std::optional<FakeFault> fault = TakeFault(verb);
  if (fault && fault->kind == FakeFault::Kind::kHang) {
    changed.wait(lock, [this] { return stopping; });
  }
  if (fault && fault->kind == FakeFault::Kind::kHold) {
    changed.wait(lock, [this, before = releases] { return stopping || releases > before; });
  }
  if (fault && Misbehave(*fault, out)) return;
  if (!options.demand_client_certificate && seen.token != token) {
    return Fail(out, 401, "Unauthorized", "Unauthorized");
  }
  Serve(verb, path, request, out);
  if (fault && fault->kind == FakeFault::Kind::kSlow && verb != "watch") MakeSlow(out);
  if (fault && fault->kind == FakeFault::Kind::kCut) MakeCut(out);
}

std::optional<FakeFault> FakeApiServer::State::TakeFault(const std::string& verb) {
  const auto found = std::find_if(faults.begin(), faults.end(), [&](const FakeFault& fault) {
    return fault.verb.empty() || fault.verb == verb;
  });
  if (found == faults.end()) return std::nullopt;
  FakeFault fault = *found;
  if (--found->times == 0) faults.erase(found);
  return fault;
}

bool FakeApiServer::State::Misbehave(const FakeFault& fault, httplib::Response& out) {
  switch (fault.kind) {
    case FakeFault::Kind::kStatus:
      Answer(
          out, fault.http_status,
          StatusObject(fault.http_status, fault.reason, fault.message, fault.retry_after_seconds));
      if (fault.retry_after_seconds > 0) {
        out.set_header("Retry-After", std::to_string(fault.retry_after_seconds));
      }
      return true;
    case FakeFault::Kind::kHtml:
      out.status = fault.http_status;
      out.set_content("<html>bad gateway</html>", "text/html");
      return true;
    case FakeFault::Kind::kNoJson:
      out.set_content("ok", "text/plain");
      return true;
    case FakeFault::Kind::kGzip:
      out.set_header("Content-Encoding", "gzip");
      out.set_content("\x1f\x8b\x08 and so on", "application/json");
      return true;
    case FakeFault::Kind::kHang:
      Fail(out, 503, "ServiceUnavailable", "stopping");
      return true;
    default:
      return false;
  }
}

void FakeApiServer::State::MakeSlow(httplib::Response& out) {
  const std::string body = out.body;
  out.body.clear();
  out.set_content_provider(body.size(), "application/json",
                           [this, body](size_t offset, size_t, httplib::DataSink& sink) {
                             std::unique_lock lock(mutex);
                             changed.wait_for(lock, kSlowByte, [this] { return stopping; });
                             return !stopping && sink.write(&body[offset], 1);
                           });
}

void FakeApiServer::State::MakeCut(httplib::Response& out) {
  if (out.body.empty()) {  // a watch, which has no length
    for (Watch* watch : watches) watch->cut = true;
    return;
  }
  const std::string body = out.body;
  out.body.clear();
  out.set_content_provider(body.size(), "application/json",
                           [body](size_t offset, size_t, httplib::DataSink& sink) {
                             if (offset > 0) return false;
                             return sink.write(body.data(), body.size() / 2);
                           });
}

void FakeApiServer::State::Serve(const std::string& verb, const ObjectPath& path,
                                 const httplib::Request& request, httplib::Response& out) {
  if (path.resource.plural.empty()) return Fail(out, 404, "NotFound", "no such path");
  if (verb == "list") return List(path, request, out);
  if (verb == "watch") return StartWatch(path, request, out);
  if (verb == "create") return Create(path, request, out);
  if (verb == "patch") return Patch(path, request, out);
  const Json* object = objects.Find(path);
  if (object == nullptr) {
    return Fail(out, 404, "NotFound", path.resource.plural + " \"" + path.name + "\" not found");
  }
  Answer(out, 200, *object);
}

// A continue token is "<resource version>:<offset>".
void FakeApiServer::State::List(const ObjectPath& path, const httplib::Request& request,
                                httplib::Response& out) {
  uint64_t version = objects.version();
  size_t offset = 0;
  if (const std::string token_text = request.get_param_value("continue"); !token_text.empty()) {
    char separator = 0;
    std::istringstream(token_text) >> version >> separator >> offset;
    if (version < objects.oldest_version()) {
      return Fail(out, 410, "Expired", "the continue token is too old");
    }
  }
  const std::string limit_text = request.get_param_value("limit");
  const size_t limit = limit_text.empty() ? SIZE_MAX : std::stoul(limit_text);
  std::vector<Json> all;
  for (const Json& object : objects.All(path.resource)) {
    if (FakeApiObjects::Matches(object, path.object_namespace,
                                request.get_param_value("fieldSelector"))) {
      all.push_back(object);
    }
  }
  Json items = Json::array();
  for (; offset < all.size() && items.size() < limit; ++offset) items.push_back(all[offset]);
  Json metadata = {{"resourceVersion", std::to_string(version)}};
  if (offset < all.size()) {
    metadata["continue"] = std::to_string(version) + ":" + std::to_string(offset);
  }
  Answer(out, 200,
         {{"kind", "List"}, {"apiVersion", "v1"}, {"metadata", metadata}, {"items", items}});
}

void FakeApiServer::State::Create(ObjectPath path, const httplib::Request& request,
                                  httplib::Response& out) {
  const Json object = Json::parse(request.body, nullptr, false);
  const Json::json_pointer name("/metadata/name");
  if (!object.is_object() || !object.contains(name)) {
    return Fail(out, 400, "BadRequest", "no object with a name");
  }
  path.name = object.at(name).get<std::string>();
  if (objects.Find(path) != nullptr) {
    return Fail(out, 409, "AlreadyExists", path.name + " already exists");
  }
  objects.Put(path, object);
  changed.notify_all();
  Answer(out, 201, *objects.Find(path));
}

void FakeApiServer::State::Patch(const ObjectPath& path, const httplib::Request& request,
                                 httplib::Response& out) {
  const Json patch = Json::parse(request.body, nullptr, false);
  const std::string type = request.get_header_value("Content-Type");
  const std::string manager = request.get_param_value("fieldManager");
  FakeApiObjects::PatchOutcome outcome;
  if (!patch.is_object()) {
    outcome = {400, "BadRequest", "the patch is no object", {}};
  } else if (type == "application/apply-patch+yaml" && !manager.empty()) {
    outcome = objects.ApplyLabels(path, patch, manager, request.get_param_value("force") == "true");
  } else if (type == "application/merge-patch+json" ||
             type == "application/strategic-merge-patch+json") {
    outcome = objects.Merge(path, patch);
  } else {
    outcome = {415, "UnsupportedMediaType", type + " is not supported", {}};
  }
  changed.notify_all();
  if (outcome.http_status != 200) {
    return Fail(out, outcome.http_status, outcome.reason, outcome.message);
  }
  Answer(out, 200, outcome.object);
}

void FakeApiServer::State::StartWatch(const ObjectPath& path, const httplib::Request& request,
                                      httplib::Response& out) {
  auto watch = std::make_shared<Watch>();
  watch->collection = FakeApiObjects::CollectionOf(path.resource);
  watch->path = path;
  watch->selector = request.get_param_value("fieldSelector");
  watch->version = std::strtoull(request.get_param_value("resourceVersion").c_str(), nullptr, 10);
  if (watch->version < objects.oldest_version()) {
    // The real one says so in either way.
    out.status = 200;
    out.set_content(Line("ERROR", StatusObject(410, "Expired", "too old resource version")),
                    "application/json");
    return;
  }
  const std::string seconds = request.get_param_value("timeoutSeconds");
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(seconds.empty() ? 300 : std::stol(seconds));
  watches.insert(watch.get());
  changed.notify_all();
  out.set_chunked_content_provider(
      "application/json",
      [this, watch, end](size_t, httplib::DataSink& sink) { return WriteWatch(*watch, sink, end); },
      [this, watch](bool) {
        const std::lock_guard lock(mutex);
        watches.erase(watch.get());
        changed.notify_all();
      });
}

// What the watch has to say of the changes since its version.
std::string FakeApiServer::State::NewLines(Watch& watch) {
  std::string lines;
  for (const FakeApiObjects::Change& change : objects.changes()) {
    if (change.version <= watch.version) continue;
    watch.version = change.version;
    if (change.collection != watch.collection) continue;
    const std::string& scope = watch.path.object_namespace;
    const bool before = FakeApiObjects::Matches(change.before, scope, watch.selector);
    const bool after = FakeApiObjects::Matches(change.after, scope, watch.selector);
    if (after) {
      lines += Line(before ? "MODIFIED" : "ADDED", change.after);
    } else if (before) {
      Json last = change.before;
      last["metadata"]["resourceVersion"] = std::to_string(change.version);
      lines += Line("DELETED", last);
    }
  }
  return lines;
}

bool FakeApiServer::State::WriteWatch(Watch& watch, httplib::DataSink& sink,
                                      std::chrono::steady_clock::time_point end) {
  std::string text;
  {
    std::unique_lock lock(mutex);
    changed.wait_until(lock, end, [&] {
      text = NewLines(watch);
      return stopping || watch.end || watch.cut || !watch.raw.empty() || !text.empty();
    });
    for (const std::string& raw : watch.raw) text += raw;
    watch.raw.clear();
    if (text.empty() && watch.cut) return false;
    if (text.empty()) {
      sink.done();
      return true;
    }
  }
  return sink.write(text.data(), text.size());
}

FakeApiServer::FakeApiServer(const FakeApiServerOptions& options)
    : state_(std::make_unique<State>()) {
  state_->options = options;
  state_->MakeServer();
  httplib::Server& server = *state_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_keep_alive_max_count(1);
  server.set_tcp_nodelay(true);
  server.set_socket_options([](int fd) {
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
  const auto handle = [state = state_.get()](const httplib::Request& request,
                                             httplib::Response& out) {
    state->Handle(request, out);
  };
  server.Get(".*", handle);
  server.Post(".*", handle);
  server.Patch(".*", handle);
  const int port = server.bind_to_any_port("127.0.0.1");
  if (port <= 0) ::abort();
  state_->port = static_cast<uint16_t>(port);
  state_->acceptor = std::thread([&server] { server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();
}

FakeApiServer::~FakeApiServer() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
  }
  state_->server->stop();
  state_->acceptor.join();
}

cluster::ClusterConfig FakeApiServer::Config() const {
  cluster::ClusterConfig config;
  config.source = "test";
  config.host = "127.0.0.1";
  config.port = state_->port;
  config.tls = state_->options.tls;
  config.certificate_authority.text = cluster::Secret(state_->authority.certificate());
  config.token.text = cluster::Secret("token-1");
  return config;
}

TestAuthority& FakeApiServer::authority() { return state_->authority; }

uint16_t FakeApiServer::port() const { return state_->port; }

void FakeApiServer::SetToken(const std::string& token) {
  const std::lock_guard lock(state_->mutex);
  state_->token = token;
}

void FakeApiServer::Put(const ObjectPath& path, Json object) {
  const std::lock_guard lock(state_->mutex);
  state_->objects.Put(path, std::move(object));
  state_->changed.notify_all();
}

void FakeApiServer::Delete(const ObjectPath& path) {
  const std::lock_guard lock(state_->mutex);
  state_->objects.Delete(path);
  state_->changed.notify_all();
}

std::optional<Json> FakeApiServer::Find(const ObjectPath& path) const {
  const std::lock_guard lock(state_->mutex);
  const Json* object = state_->objects.Find(path);
  return object == nullptr ? std::nullopt : std::optional<Json>(*object);
}

std::vector<Json> FakeApiServer::All(const cluster::Resource& resource) const {
  const std::lock_guard lock(state_->mutex);
  return state_->objects.All(resource);
}

void FakeApiServer::Compact() {
  const std::lock_guard lock(state_->mutex);
  state_->objects.Compact();
}

void FakeApiServer::SendBookmarks() {
  const std::lock_guard lock(state_->mutex);
  for (State::Watch* watch : state_->watches) {
    const std::string lines = state_->NewLines(*watch);
    watch->version = state_->objects.version();
    watch->raw.push_back(
        lines +
        Line("BOOKMARK", {{"metadata", {{"resourceVersion", std::to_string(watch->version)}}}}));
  }
  state_->changed.notify_all();
}

void FakeApiServer::SendToWatches(const std::string& raw) {
  const std::lock_guard lock(state_->mutex);
  for (State::Watch* watch : state_->watches) watch->raw.push_back(raw);
  state_->changed.notify_all();
}

void FakeApiServer::EndWatches() {
  const std::lock_guard lock(state_->mutex);
  for (State::Watch* watch : state_->watches) watch->end = true;
  state_->changed.notify_all();
}

void FakeApiServer::CutWatches() {
  const std::lock_guard lock(state_->mutex);
  for (State::Watch* watch : state_->watches) watch->cut = true;
  state_->changed.notify_all();
}

void FakeApiServer::Inject(FakeFault fault) {
  const std::lock_guard lock(state_->mutex);
  state_->faults.push_back(std::move(fault));
}

void FakeApiServer::Release() {
  const std::lock_guard lock(state_->mutex);
  ++state_->releases;
  state_->changed.notify_all();
}

std::vector<FakeRequest> FakeApiServer::Requests(const std::string& verb) const {
  const std::lock_guard lock(state_->mutex);
  std::vector<FakeRequest> requests;
  for (const FakeRequest& request : state_->requests) {
    if (verb.empty() || request.verb == verb) requests.push_back(request);
  }
  return requests;
}

bool FakeApiServer::WaitUntil(const std::function<bool()>& condition) const {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return condition();
    // Looked at without the lock, which it may take: a change meanwhile is seen a moment later.
    std::unique_lock lock(state_->mutex);
    state_->changed.wait_for(lock, std::chrono::milliseconds(10));
  }
  return true;
}

bool FakeApiServer::WaitForRequests(const std::string& verb, size_t count) const {
  return WaitUntil([&] { return Requests(verb).size() >= count; });
}

}  // namespace npu_ipc
