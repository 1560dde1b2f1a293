#include "plugin/cluster/api_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "plugin/cluster/listing.h"
#include "plugin/cluster/reply.h"
#include "tests/fakes/fake_api_server.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::cluster {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const ObjectPath kNode{kNodes, "", "node-1"};
const ObjectPath kAllPods{kPods, "", ""};
constexpr Duration kPromptly = std::chrono::seconds(3);

ObjectPath PodPath(const std::string& name) { return {kPods, "ns", name}; }

Json PodOn(const std::string& node) { return {{"spec", {{"nodeName", node}}}}; }

std::vector<std::string> Names(const std::vector<Json>& items) {
  std::vector<std::string> names;
  for (const Json& item : items) names.push_back(FindText(item, {"metadata", "name"}));
  return names;
}

class Lines final : public WatchLines {
 public:
  void OnEstablished() override { established = true; }
  bool OnLine(std::string_view line) override {
    lines.emplace_back(line);
    return lines.size() < stop_after;
  }
  void OnLineTooLong(size_t) override { ++too_long; }

  size_t stop_after = SIZE_MAX;
  std::atomic<bool> established = false;
  std::vector<std::string> lines;
  int too_long = 0;
};

TEST(ApiClient, GetsAnObject) {
  FakeApiServer server;
  server.Put(kNode, Json::object());
  ApiClient client(server.Config());
  const Reply reply = client.Get(kNode);
  ASSERT_TRUE(reply.ok()) << reply.status.message();
  EXPECT_EQ(FindText(reply.body, {"metadata", "name"}), "node-1");
  EXPECT_EQ(server.Requests().at(0).token, "token-1");
  EXPECT_EQ(client.Get({kNodes, "", "node-2"}).status.code(), StatusCode::kNotFound);
}

TEST(ApiClient, SpeaksPlainHttpWhereItIsTold) {
  FakeApiServer server({.tls = false});
  server.Put(kNode, Json::object());
  EXPECT_TRUE(ApiClient(server.Config()).Get(kNode).ok());
}

TEST(ApiClient, PutsTheServersBasePathInFront) {
  FakeApiServer server;
  ClusterConfig config = server.Config();
  config.base_path = "/k8s/clusters/c-1";
  EXPECT_EQ(ApiClient(config).Get(kNode).status.code(), StatusCode::kNotFound);
  EXPECT_EQ(server.Requests().at(0).path, "/k8s/clusters/c-1/api/v1/nodes/node-1");
}

TEST(ApiClient, ListsPageByPage) {
  FakeApiServer server;
  for (const char* name : {"a", "b", "c", "d", "e"}) server.Put(PodPath(name), PodOn("node-1"));
  server.Put(PodPath("other"), PodOn("node-2"));
  ApiClient client(server.Config());
  const Listing listing = client.List(
      kAllPods, {.selection = {.field_selector = "spec.nodeName=node-1"}, .page_size = 2});
  ASSERT_TRUE(listing.reply.ok()) << listing.reply.status.message();
  EXPECT_THAT(Names(listing.items), ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_EQ(listing.resource_version, "106");
  EXPECT_EQ(server.Requests("list").size(), 3u);
}

TEST(ApiClient, ListsAnewWhenTheFirstPagesVersionHasExpired) {
  FakeApiServer server;
  for (const char* name : {"a", "b", "c"}) server.Put(PodPath(name), PodOn("node-1"));
  ApiClient client(server.Config());
  server.Inject({.verb = "list", .kind = FakeFault::Kind::kNone});
  server.Inject({.verb = "list", .kind = FakeFault::Kind::kHold});
  std::thread compactor([&] {
    ASSERT_TRUE(server.WaitForRequests("list", 2));
    server.Compact();
    server.Release();
  });
  const Listing listing = client.List(kAllPods, {.selection = {}, .page_size = 2});
  compactor.join();
  ASSERT_TRUE(listing.reply.ok()) << listing.reply.status.message();
  EXPECT_THAT(Names(listing.items), ElementsAre("a", "b", "c"));
  const auto requests = server.Requests("list");
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_FALSE(requests[2].parameters.contains("limit"));
}

TEST(ApiClient, ReturnsNoHalfList) {
  FakeApiServer server;
  for (const char* name : {"a", "b", "c"}) server.Put(PodPath(name), PodOn("node-1"));
  ApiClient client(server.Config());
  server.Inject({.verb = "list", .kind = FakeFault::Kind::kCut});
  const Listing cut = client.List(kAllPods, {});
  EXPECT_EQ(cut.reply.status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(cut.items.empty());
  server.Inject({.verb = "list", .kind = FakeFault::Kind::kNoJson});
  EXPECT_EQ(client.List(kAllPods, {}).reply.status.code(), StatusCode::kUnavailable);
}

TEST(ApiClient, CreatesAndPatches) {
  FakeApiServer server;
  ApiClient client(server.Config());
  const ObjectPath events{kEvents, "ns", ""};
  const Json event = {{"metadata", {{"name", "e"}}}, {"count", 1}};
  ASSERT_TRUE(client.Create(events, event).ok());
  EXPECT_EQ(client.Create(events, event).status.code(), StatusCode::kAlreadyExists);
  const ObjectPath path{kEvents, "ns", "e"};
  for (const PatchType type : {PatchType::kMerge, PatchType::kStrategicMerge}) {
    const Reply patched = client.Patch(path, {.type = type}, Json{{"count", 2}});
    ASSERT_TRUE(patched.ok()) << patched.status.message();
    EXPECT_EQ(patched.body.at("count"), 2);
  }
  const auto requests = server.Requests("patch");
  EXPECT_EQ(requests.at(0).content_type, "application/merge-patch+json");
  EXPECT_EQ(requests.at(1).content_type, "application/strategic-merge-patch+json");
}

TEST(ApiClient, AppliesAsAFieldManager) {
  FakeApiServer server;
  server.Put(kNode, {{"metadata", {{"labels", {{"k", "theirs"}}}}}});
  ApiClient client(server.Config());
  const Json node = {{"apiVersion", "v1"},
                     {"kind", "Node"},
                     {"metadata", {{"name", "node-1"}, {"labels", {{"k", "ours"}}}}}};
  const PatchOptions options{.type = PatchType::kApply, .field_manager = "us"};
  const Reply conflict = client.Patch(kNode, options, node);
  EXPECT_EQ(conflict.status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(conflict.reason, "Conflict");
  PatchOptions forced = options;
  forced.force = true;
  EXPECT_TRUE(client.Patch(kNode, forced, node).ok());
  EXPECT_EQ(server.Find(kNode)->at("metadata").at("labels").at("k"), "ours");
}

TEST(ApiClient, SaysWhatTheServerRefused) {
  FakeApiServer server;
  ApiClient client(server.Config());
  server.Inject({.http_status = 403, .reason = "Forbidden"});
  const Reply forbidden = client.Get(kNode);
  EXPECT_EQ(forbidden.status.code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(forbidden.status.message(), HasSubstr("get nodes/node-1"));
  EXPECT_EQ(forbidden.reason, "Forbidden");
  server.Inject({.http_status = 429, .reason = "TooManyRequests", .retry_after_seconds = 4});
  const Reply busy = client.Get(kNode);
  EXPECT_EQ(busy.status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(busy.retry_after, std::chrono::seconds(4));
  server.Inject({.kind = FakeFault::Kind::kHtml, .http_status = 502});
  EXPECT_EQ(client.Get(kNode).status.code(), StatusCode::kUnavailable);
}

TEST(ApiClient, UsesATokenThatRotated) {
  TemporaryDirectory directory;
  const auto write = [&](const char* token) { std::ofstream(directory.Path("token")) << token; };
  FakeApiServer server;
  server.Put(kNode, Json::object());
  ClusterConfig config = server.Config();
  config.token = {.path = directory.Path("token"), .text = {}};
  write("token-1");
  ApiClient client(config);
  EXPECT_TRUE(client.Get(kNode).ok());
  server.SetToken("token-2");
  write("token-2");
  EXPECT_TRUE(client.Get(kNode).ok());
  EXPECT_EQ(server.Requests().size(), 2u);
}

TEST(ApiClient, TriesOnceMoreWithATokenThatRotatedMeanwhile) {
  TemporaryDirectory directory;
  const auto write = [&](const char* token) { std::ofstream(directory.Path("token")) << token; };
  FakeApiServer server;
  server.Put(kNode, Json::object());
  ClusterConfig config = server.Config();
  config.token = {.path = directory.Path("token"), .text = {}};
  write("token-1");
  server.SetToken("token-2");
  server.Inject({.kind = FakeFault::Kind::kHold});
  std::thread kubelet([&] {
    ASSERT_TRUE(server.WaitForRequests("get", 1));
    write("token-2");
    server.Release();
  });
  ApiClient client(config);
  const Reply reply = client.Get(kNode);
  kubelet.join();
  EXPECT_TRUE(reply.ok()) << reply.status.message();
  EXPECT_EQ(server.Requests().size(), 2u);
}

TEST(ApiClient, DoesNotRepeatARefusedTokenNorShowIt) {
  FakeApiServer server;
  server.SetToken("other");
  ApiClient client(server.Config());
  const Reply reply = client.Get(kNode);
  EXPECT_EQ(reply.status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(reply.http_status, 401);
  EXPECT_THAT(reply.status.message(), Not(HasSubstr("token-1")));
  EXPECT_EQ(server.Requests().size(), 1u);
}

TEST(ApiClient, RefusesATokenThatWouldForgeAHeader) {
  FakeApiServer server;
  ClusterConfig config = server.Config();
  config.token.text = Secret("secret\r\nX-Forged: yes");
  const Reply reply = ApiClient(config).Get(kNode);
  EXPECT_EQ(reply.status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(reply.status.message(), Not(HasSubstr("secret")));
  EXPECT_TRUE(server.Requests().empty());
}

TEST(ApiClient, NamesTheServerThatIsAway) {
  ClusterConfig config;
  {
    FakeApiServer server;
    config = server.Config();
  }
  const Reply reply = ApiClient(config).Get(kNode);
  EXPECT_EQ(reply.status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(reply.status.message(), HasSubstr(ServerName(config)));
  EXPECT_THAT(reply.status.message(), HasSubstr("cannot connect"));
}

TEST(ApiClientDeadline, EndsACallThatHangs) {
  FakeApiServer server;
  server.Inject({.kind = FakeFault::Kind::kHang});
  ApiClient client(server.Config());
  const TimePoint start = SystemClock().Now();
  const Reply reply = client.Get(kNode, {.timeout = std::chrono::milliseconds(100)});
  EXPECT_EQ(reply.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_LT(SystemClock().Now() - start, kPromptly);
}

TEST(ApiClientDeadline, EndsACallWhoseBytesTrickle) {
  FakeApiServer server;
  server.Put(kNode, {{"padding", std::string(2000, 'x')}});
  server.Inject({.kind = FakeFault::Kind::kSlow});
  ApiClient client(server.Config());
  const TimePoint start = SystemClock().Now();
  const Reply reply = client.Get(kNode, {.timeout = std::chrono::milliseconds(300)});
  EXPECT_EQ(reply.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_LT(SystemClock().Now() - start, kPromptly);
}

TEST(ApiClientCanceller, EndsACallAtOnce) {
  FakeApiServer server;
  server.Inject({.kind = FakeFault::Kind::kHang});
  ApiClient client(server.Config());
  Canceller canceller;
  TimePoint cancelled_at;
  std::thread other([&] {
    ASSERT_TRUE(server.WaitForRequests("get", 1));
    cancelled_at = SystemClock().Now();
    canceller.Cancel();
  });
  const Reply reply = client.Get(kNode, {.canceller = &canceller});
  const TimePoint ended_at = SystemClock().Now();
  other.join();
  EXPECT_EQ(reply.status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(reply.status.message(), HasSubstr("stopped"));
  EXPECT_LT(ended_at - cancelled_at, kPromptly);
}

TEST(ApiClientCanceller, EndsACallBeforeItConnects) {
  FakeApiServer server;
  server.Inject({.kind = FakeFault::Kind::kHang});
  ApiClient client(server.Config());
  Canceller canceller;
  canceller.Cancel();
  const Reply reply = client.Get(kNode, {.canceller = &canceller});
  EXPECT_EQ(reply.status.code(), StatusCode::kUnavailable);
}

TEST(ApiClientWatch, DeliversEventsUntilTheServerEndsIt) {
  FakeApiServer server;
  server.Put(PodPath("a"), PodOn("node-1"));
  ApiClient client(server.Config());
  std::thread other([&] {
    ASSERT_TRUE(server.WaitForRequests("watch", 1));
    server.Put(PodPath("b"), PodOn("node-1"));
    server.Put(PodPath("c"), PodOn("node-2"));
    server.Delete(PodPath("a"));
    server.SendBookmarks();
    server.EndWatches();
  });
  Lines lines;
  const Reply reply = client.Watch(
      kAllPods,
      {.selection = {.field_selector = "spec.nodeName=node-1"}, .resource_version = "101"}, lines);
  other.join();
  EXPECT_TRUE(reply.ok()) << reply.status.message();
  EXPECT_TRUE(lines.established);
  EXPECT_THAT(lines.lines,
              ElementsAre(HasSubstr("ADDED"), HasSubstr("DELETED"), HasSubstr("BOOKMARK")));
  const FakeRequest request = server.Requests("watch").at(0);
  EXPECT_EQ(request.parameters.at("allowWatchBookmarks"), "true");
  EXPECT_EQ(request.parameters.at("timeoutSeconds"), "300");
}

TEST(ApiClientWatch, TellsACutFromAnEnd) {
  FakeApiServer server;
  ApiClient client(server.Config());
  std::thread other([&] {
    ASSERT_TRUE(server.WaitForRequests("watch", 1));
    server.Put(PodPath("a"), PodOn("node-1"));
    server.CutWatches();
  });
  Lines lines;
  const Reply reply = client.Watch(kAllPods, {.selection = {}, .resource_version = "100"}, lines);
  other.join();
  EXPECT_EQ(reply.status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(lines.lines, ElementsAre(HasSubstr("ADDED")));
}

TEST(ApiClientWatch, EndsWhenItsReceiverHasEnough) {
  FakeApiServer server;
  for (const char* name : {"a", "b", "c"}) server.Put(PodPath(name), PodOn("node-1"));
  ApiClient client(server.Config());
  Lines lines;
  lines.stop_after = 2;
  const Reply reply = client.Watch(kAllPods, {.selection = {}, .resource_version = "100"}, lines);
  EXPECT_TRUE(reply.ok()) << reply.status.message();
  EXPECT_EQ(lines.lines.size(), 2u);
}

TEST(ApiClientWatch, DropsALineThatIsTooLong) {
  FakeApiServer server;
  ApiClient client(server.Config());
  std::thread other([&] {
    ASSERT_TRUE(server.WaitForRequests("watch", 1));
    server.SendToWatches(std::string(5000, 'x') + "\nshort\n");
    server.EndWatches();
  });
  Lines lines;
  const WatchOptions options{.selection = {}, .resource_version = "100", .max_line_bytes = 1000};
  EXPECT_TRUE(client.Watch(kAllPods, options, lines).ok());
  other.join();
  EXPECT_EQ(lines.too_long, 1);
  EXPECT_THAT(lines.lines, ElementsAre("short"));
}

TEST(ApiClientWatch, IsRefusedLikeAnyCall) {
  FakeApiServer server;
  ApiClient client(server.Config());
  server.Inject({.verb = "watch", .http_status = 410, .reason = "Expired"});
  Lines lines;
  const Reply reply = client.Watch(kAllPods, {.selection = {}, .resource_version = "1"}, lines);
  EXPECT_TRUE(reply.gone());
  EXPECT_FALSE(lines.established);
  EXPECT_TRUE(lines.lines.empty());
}

TEST(ApiClientWatch, MayBeSilentLongerThanItMayTakeToStart) {
  FakeApiServer server;
  ApiClient client(server.Config());
  std::thread other([&] {
    ASSERT_TRUE(server.WaitForRequests("watch", 1));
    const TimePoint later = SystemClock().Now() + std::chrono::milliseconds(400);
    ASSERT_TRUE(server.WaitUntil([&] { return SystemClock().Now() > later; }));
    server.EndWatches();
  });
  Lines lines;
  const Reply reply = client.Watch(kAllPods, {.selection = {}, .resource_version = "100"}, lines,
                                   {.timeout = std::chrono::milliseconds(300)});
  other.join();
  EXPECT_TRUE(reply.ok()) << reply.status.message();
}

TEST(ApiClientWatch, MustStartInTime) {
  FakeApiServer server;
  server.Inject({.verb = "watch", .kind = FakeFault::Kind::kHang});
  ApiClient client(server.Config());
  Lines lines;
  const Reply reply = client.Watch(kAllPods, {.selection = {}, .resource_version = "100"}, lines,
                                   {.timeout = std::chrono::milliseconds(100)});
  EXPECT_EQ(reply.status.code(), StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace npu_ipc::cluster
