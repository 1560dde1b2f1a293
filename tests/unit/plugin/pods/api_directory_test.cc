#include "plugin/pods/api_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "tests/fakes/fake_api_server.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::pods {
namespace {

using cluster::Json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using Kind = FakeFault::Kind;

cluster::ObjectPath PodPath(const std::string& name) { return {cluster::kPods, "team", name}; }

Json PodOf(const std::string& uid, const std::string& group, const std::string& node = "node-1") {
  return {{"metadata",
           {{"uid", uid},
            {"annotations", {{"npu-ipc.io/group", group}, {"example.com/note", "long"}}},
            {"managedFields", {{{"manager", "kubelet"}}}}}},
          {"spec", {{"nodeName", node}}},
          {"status",
           {{"phase", "Running"},
            {"containerStatuses", {{{"name", "main"}, {"containerID", "containerd://c1"}}}}}}};
}

class ApiPodDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::Create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
    config_ = server_.Config();
  }

  void Start() {
    ApiDirectoryOptions options;
    options.node_name = "node-1";
    options.watcher.random = [] { return 0.0; };
    options.watcher.pause = [](cluster::Canceller& canceller, Duration) {
      canceller.WaitFor(std::chrono::milliseconds(1));
    };
    pods_ = std::make_unique<ApiPodDirectory>(*loop_, config_, options);
  }
  void StartAndFollow() {
    Start();
    ASSERT_TRUE(RunUntil([this] { return pods_->state().ready; })) << pods_->state().problem;
    changed_.clear();
  }

  // Runs the loop until `condition` holds after a notification; false after 30 s.
  bool RunUntil(const std::function<bool()>& condition) {
    pods_->OnChange([&](const std::vector<std::string>& changed) {
      changed_.insert(changed_.end(), changed.begin(), changed.end());
      if (condition()) loop_->Stop();
    });
    if (condition()) return true;
    const auto timer = loop_->RunAfter(std::chrono::seconds(30), [this] { loop_->Stop(); });
    loop_->Run();
    loop_->Cancel(timer);
    return condition();
  }
  bool Has(const std::string& uid, const std::string& group) {
    const auto pod = pods_->Find(uid);
    return pod != nullptr && pod->annotations.at("npu-ipc.io/group") == group;
  }
  bool RunUntilItHas(const std::string& uid, const std::string& group) {
    return RunUntil([&] { return Has(uid, group); });
  }
  bool RunUntilProblem(const std::string& text) {
    return RunUntil([&] { return pods_->state().problem.find(text) != std::string::npos; });
  }

  FakeApiServer server_;
  cluster::ClusterConfig config_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<ApiPodDirectory> pods_;
  std::vector<std::string> changed_;  // since it was last cleared
};

TEST_F(ApiPodDirectoryTest, KnowsThePodsOfItsNodeAndFollowsThem) {
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  server_.Put(PodPath("elsewhere"), PodOf("u-e", "weights", "node-2"));
  Start();
  EXPECT_FALSE(pods_->state().ready);
  EXPECT_FALSE(pods_->state().synced);
  EXPECT_EQ(pods_->Find("u-a"), nullptr);
  ASSERT_TRUE(RunUntil([this] { return pods_->state().ready; }));
  EXPECT_TRUE(pods_->state().synced);
  EXPECT_EQ(pods_->state().problem, "");
  EXPECT_EQ(pods_->state().pods, 1U);
  const auto pod = pods_->Find("u-a");
  ASSERT_NE(pod, nullptr);
  EXPECT_EQ(FullName(*pod), "team/a");
  EXPECT_EQ(ContainerName(*pod, "c1"), "main");
  EXPECT_EQ(pod->annotations.size(), 1U);
  EXPECT_THAT(changed_, UnorderedElementsAre("u-a"));

  changed_.clear();
  server_.Put(PodPath("b"), PodOf("u-b", "logs"));
  server_.Put(PodPath("a"), PodOf("u-a", "weights:importer"));
  ASSERT_TRUE(RunUntil([&] { return Has("u-b", "logs") && Has("u-a", "weights:importer"); }));
  EXPECT_EQ(pod->annotations.at("npu-ipc.io/group"), "weights") << "the old object changed";
  EXPECT_THAT(changed_, UnorderedElementsAre("u-a", "u-b"));

  server_.Delete(PodPath("a"));
  ASSERT_TRUE(RunUntil([&] { return pods_->Find("u-a") == nullptr; }));
  EXPECT_EQ(server_.Requests("list").size(), 1U);
  EXPECT_EQ(server_.Requests("watch").size(), 1U);
  EXPECT_EQ(server_.Requests("list").at(0).parameters.at("fieldSelector"), "spec.nodeName=node-1");
  EXPECT_EQ(server_.Requests("watch").at(0).parameters.at("allowWatchBookmarks"), "true");
}

TEST_F(ApiPodDirectoryTest, APodThatChangesInNothingThatMattersIsNoChange) {
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  StartAndFollow();
  const auto before = pods_->Find("u-a");
  Json pod = PodOf("u-a", "weights");
  pod["metadata"]["annotations"]["example.com/note"] = "longer";
  pod["status"]["conditions"] = {{{"type", "Ready"}}};
  server_.Put(PodPath("a"), pod);
  server_.Put(PodPath("b"), PodOf("u-b", "logs"));
  ASSERT_TRUE(RunUntilItHas("u-b", "logs"));
  EXPECT_EQ(pods_->Find("u-a"), before);
  EXPECT_THAT(changed_, UnorderedElementsAre("u-b"));
}

TEST_F(ApiPodDirectoryTest, APodThatTerminatesIsGone) {
  Json done = PodOf("u-done", "weights");
  done["status"]["phase"] = "Succeeded";
  server_.Put(PodPath("done"), done);
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  StartAndFollow();
  EXPECT_EQ(pods_->Find("u-done"), nullptr);
  EXPECT_EQ(pods_->state().pods, 1U);
  Json failed = PodOf("u-a", "weights");
  failed["status"]["phase"] = "Failed";
  server_.Put(PodPath("a"), failed);
  ASSERT_TRUE(RunUntil([&] { return pods_->Find("u-a") == nullptr; }));
  EXPECT_THAT(changed_, UnorderedElementsAre("u-a"));
}

TEST_F(ApiPodDirectoryTest, FindsAStaticPodByItsManifestsHash) {
  const std::string hash = "6692aca748eb91429aeed74bd4135da2";
  Json mirror = PodOf("u-mirror", "weights");
  mirror["metadata"]["annotations"]["kubernetes.io/config.hash"] = hash;
  mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = hash;
  server_.Put(PodPath("static"), mirror);
  StartAndFollow();
  EXPECT_TRUE(Has(hash, "weights"));
  EXPECT_EQ(pods_->Find("u-mirror"), nullptr);
  // The kubelet makes the mirror anew when the API server has lost it.
  server_.Delete(PodPath("static"));
  mirror["metadata"]["uid"] = "u-mirror-2";
  server_.Put(PodPath("static"), mirror);
  ASSERT_TRUE(
      RunUntil([&] { return Has(hash, "weights") && pods_->Find(hash)->uid == "u-mirror-2"; }));
}

TEST_F(ApiPodDirectoryTest, APodThatMakesNoSenseIsInNobodysWay) {
  Json odd = PodOf("u-odd", "weights");
  odd["metadata"]["annotations"]["npu-ipc.io/group"] = 7;
  server_.Put(PodPath("odd"), odd);
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  StartAndFollow();
  EXPECT_TRUE(Has("u-a", "weights"));
  EXPECT_EQ(pods_->Find("u-odd"), nullptr);
  // One that made sense before: what it asks for now nobody knows.
  Json worse = PodOf("u-a", "weights");
  worse["metadata"]["labels"] = "none";
  server_.Put(PodPath("a"), worse);
  server_.Put(PodPath("odd"), PodOf("u-odd", "logs"));
  ASSERT_TRUE(RunUntilItHas("u-odd", "logs"));
  EXPECT_EQ(pods_->Find("u-a"), nullptr);
  EXPECT_TRUE(pods_->state().ready);
}

TEST_F(ApiPodDirectoryTest, KeepsThePodsWhileTheServerIsAwayAndSaysSo) {
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  StartAndFollow();
  server_.Inject({.verb = "watch", .http_status = 503, .times = 3});
  server_.Inject({.verb = "watch", .kind = Kind::kHold});
  server_.CutWatches();
  ASSERT_TRUE(RunUntilProblem("HTTP 503"));
  EXPECT_FALSE(pods_->state().ready);
  EXPECT_TRUE(pods_->state().synced);
  EXPECT_TRUE(Has("u-a", "weights"));
  ASSERT_TRUE(server_.WaitForRequests("watch", 5));
  server_.Delete(PodPath("a"));
  server_.Put(PodPath("b"), PodOf("u-b", "logs"));
  server_.Release();
  ASSERT_TRUE(RunUntil([&] { return Has("u-b", "logs") && pods_->state().ready; }));
  EXPECT_EQ(pods_->Find("u-a"), nullptr);
  EXPECT_EQ(server_.Requests("list").size(), 1U);
}

TEST_F(ApiPodDirectoryTest, ListsAgainWhereItsVersionHasExpired) {
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  server_.Put(PodPath("b"), PodOf("u-b", "weights"));
  StartAndFollow();
  const auto b = pods_->Find("u-b");
  server_.Inject({.verb = "watch", .kind = Kind::kHold});
  server_.CutWatches();
  ASSERT_TRUE(server_.WaitForRequests("watch", 2));
  server_.Delete(PodPath("a"));
  server_.Put(PodPath("c"), PodOf("u-c", "logs"));
  server_.Compact();
  server_.Release();
  ASSERT_TRUE(RunUntil([&] { return Has("u-c", "logs") && pods_->state().ready; }));
  EXPECT_EQ(pods_->Find("u-a"), nullptr);
  EXPECT_EQ(pods_->Find("u-b"), b);
  EXPECT_THAT(changed_, UnorderedElementsAre("u-a", "u-c"));
  EXPECT_EQ(server_.Requests("list").size(), 2U);
}

TEST_F(ApiPodDirectoryTest, TheFirstListIsTakenAsAWholeOrNotAtAll) {
  for (const char* name : {"a", "b", "c"}) {
    server_.Put(PodPath(name), PodOf("u-" + std::string(name), "weights"));
  }
  server_.Inject({.verb = "list", .kind = Kind::kCut});
  server_.Inject({.verb = "list", .kind = Kind::kHold});
  Start();
  ASSERT_TRUE(server_.WaitForRequests("list", 2));
  ASSERT_TRUE(RunUntilProblem("cut"));
  EXPECT_EQ(pods_->state().pods, 0U);
  EXPECT_FALSE(pods_->state().synced);
  server_.Release();
  ASSERT_TRUE(RunUntil([&] { return pods_->state().pods > 0; }));
  EXPECT_EQ(pods_->state().pods, 3U);
}

TEST_F(ApiPodDirectoryTest, ReadsEventsHoweverTheyAreCutIntoPieces) {
  StartAndFollow();
  Json pod = PodOf("u-a", "weights");
  pod["metadata"].update({{"name", "a"},
                          {"namespace", "team"},
                          {"resourceVersion", "900"},
                          {"labels", {{"note", "\xe2\x82\xac"}}}});
  const std::string line = Json{{"type", "ADDED"}, {"object", pod}}.dump() + "\n";
  for (const char byte : line) server_.SendToWatches(std::string(1, byte));
  ASSERT_TRUE(RunUntilItHas("u-a", "weights"));
  EXPECT_EQ(pods_->Find("u-a")->labels.at("note"), "\xe2\x82\xac");
}

TEST_F(ApiPodDirectoryTest, AnEventThatIsCutShortIsReadAgainInFull) {
  StartAndFollow();
  server_.Inject({.verb = "watch", .kind = Kind::kHold});
  server_.SendToWatches(R"({"type":"ADDED","object":{"metadata":{"uid":"u-a","na)");
  server_.CutWatches();
  ASSERT_TRUE(server_.WaitForRequests("watch", 2));
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  server_.Release();
  ASSERT_TRUE(RunUntilItHas("u-a", "weights"));
  EXPECT_EQ(server_.Requests("list").size(), 1U);
}

TEST_F(ApiPodDirectoryTest, GarbageInTheStreamLosesNothing) {
  StartAndFollow();
  server_.SendToWatches("\x1f\x8b\x08\n{\"type\":\"ADDED\"}\n[[[[\n\n{}\n");
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  ASSERT_TRUE(RunUntilItHas("u-a", "weights"));
  EXPECT_EQ(server_.Requests("watch").size(), 1U);
}

TEST_F(ApiPodDirectoryTest, LivesOnBookmarksAlone) {
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  StartAndFollow();
  for (int round = 0; round < 3; ++round) {
    server_.Put(PodPath("elsewhere"), PodOf("u-e", "x", "node-2"));
    server_.SendBookmarks();
    server_.EndWatches();
    ASSERT_TRUE(server_.WaitForRequests("watch", static_cast<size_t>(round) + 2));
  }
  server_.Compact();  // a version from before the bookmarks would have expired
  server_.Put(PodPath("b"), PodOf("u-b", "logs"));
  ASSERT_TRUE(RunUntilItHas("u-b", "logs"));
  EXPECT_THAT(changed_, UnorderedElementsAre("u-b"));
  EXPECT_EQ(server_.Requests("list").size(), 1U);
}

TEST_F(ApiPodDirectoryTest, SaysWhatItIsNotAllowedTo) {
  server_.Inject({.verb = "list", .http_status = 403, .reason = "Forbidden", .times = 2});
  server_.Inject({.verb = "list", .http_status = 401, .reason = "Unauthorized", .times = 2});
  server_.Inject({.verb = "list", .kind = Kind::kHold});
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  Start();
  ASSERT_TRUE(RunUntilProblem("HTTP 401"));
  EXPECT_THAT(pods_->state().problem, HasSubstr("the token or client certificate is not accepted"));
  EXPECT_FALSE(pods_->state().ready);
  ASSERT_TRUE(server_.WaitForRequests("list", 5));
  server_.Release();
  ASSERT_TRUE(RunUntil([&] { return pods_->state().ready; }));
  server_.Inject({.verb = "watch",
                  .http_status = 403,
                  .reason = "Forbidden",
                  .message = "pods is forbidden: User \"x\" cannot watch resource \"pods\""});
  server_.Inject({.verb = "watch", .kind = Kind::kHold});
  server_.CutWatches();
  ASSERT_TRUE(RunUntilProblem("HTTP 403"));
  EXPECT_THAT(pods_->state().problem, HasSubstr("the account's role must allow it to watch pods"));
  server_.Release();
}

TEST_F(ApiPodDirectoryTest, FollowsATokenThatRotates) {
  const TemporaryDirectory temporary;
  config_.token.text = cluster::Secret("");
  config_.token.path = temporary.Path("token");
  std::ofstream(config_.token.path) << "token-1\n";
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  StartAndFollow();
  server_.SetToken("token-2");
  server_.EndWatches();
  ASSERT_TRUE(RunUntilProblem("HTTP 401"));
  EXPECT_TRUE(Has("u-a", "weights"));
  std::ofstream(config_.token.path) << "token-2\n";
  ASSERT_TRUE(RunUntil([&] { return pods_->state().ready; }));
  server_.Put(PodPath("b"), PodOf("u-b", "logs"));
  ASSERT_TRUE(RunUntilItHas("u-b", "logs"));
  EXPECT_EQ(server_.Requests("list").size(), 1U);
}

TEST_F(ApiPodDirectoryTest, TellsNothingToAServerOfAnotherAuthority) {
  const FakeApiServer impostor;
  config_.certificate_authority.text = impostor.Config().certificate_authority.text;
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  Start();
  ASSERT_TRUE(RunUntilProblem("its certificate is refused"));
  EXPECT_FALSE(pods_->state().synced);
  EXPECT_EQ(pods_->state().pods, 0U);
  EXPECT_THAT(server_.Requests(), IsEmpty());
}

TEST_F(ApiPodDirectoryTest, AsksForNoCompressionAndTakesNone) {
  server_.Inject({.verb = "list", .kind = Kind::kGzip});
  server_.Inject({.verb = "list", .kind = Kind::kHold});
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  Start();
  ASSERT_TRUE(RunUntilProblem("the answer is not a JSON object"));
  ASSERT_TRUE(server_.WaitForRequests("list", 2));
  server_.Release();
  ASSERT_TRUE(RunUntilItHas("u-a", "weights"));
  ASSERT_TRUE(server_.WaitForRequests("watch", 1));
  for (const FakeRequest& request : server_.Requests()) {
    EXPECT_EQ(request.accept_encoding, "identity") << request.verb;
  }
}

TEST_F(ApiPodDirectoryTest, WondersAboutItsNameWhereTheNodeHasNoPods) {
  server_.Put(PodPath("elsewhere"), PodOf("u-e", "x", "node-2"));
  StartAndFollow();
  EXPECT_TRUE(pods_->state().ready);
  EXPECT_THAT(pods_->state().problem,
              HasSubstr("no pods of node node-1: is that its name (node.name)?"));
}

TEST_F(ApiPodDirectoryTest, EndsAtOnceWithWhatItHasReadStillUnderWay) {
  server_.Put(PodPath("a"), PodOf("u-a", "weights"));
  Start();
  ASSERT_TRUE(server_.WaitForRequests("watch", 1));  // posted to the loop, which does not run
  const TimePoint start = SystemClock().Now();
  pods_.reset();
  EXPECT_LT(SystemClock().Now() - start, std::chrono::seconds(3));
  loop_->Stop();
  loop_->Run();  // what was posted finds nobody
}

}  // namespace
}  // namespace npu_ipc::pods
