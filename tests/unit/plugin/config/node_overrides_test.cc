// One config file for a cluster, with a section for a node.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "plugin/config/options.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class NodeOverridesTest : public testing::Test {
 protected:
  NodeOverridesTest() {
    options_.AddNodeName(&node_);
    options_.Add("health.pollInterval", "how often", &interval_, milliseconds(100), hours(1));
    options_.Add("share.ids", "how many ids", &ids_, 1, 65536);
  }

  Result<Parsed> Parse(const std::string& file, std::vector<std::string> flags = {},
                       const std::map<std::string, std::string>& environment = {}) {
    interval_ = seconds(5);
    ids_ = 4096;
    std::ofstream(temporary_.Path("config.json")) << file;
    flags.push_back("--config=" + temporary_.Path("config.json"));
    std::vector<const char*> arguments = {"daemon"};
    for (const std::string& flag : flags) arguments.push_back(flag.c_str());
    return options_.Parse(static_cast<int>(arguments.size()), arguments.data(), environment);
  }

  TemporaryDirectory temporary_;
  Options options_{"daemon", "A daemon.", "DAEMON"};
  std::string node_;
  Duration interval_ = seconds(5);
  int64_t ids_ = 4096;
};

constexpr char kFile[] = R"({
  "health": {"pollInterval": "4s"}, "share": {"ids": 40},
  "nodes": {"node-a": {"share": {"ids": 1}}, "node-b": {"share": {"ids": 2}}}})";

TEST_F(NodeOverridesTest, TheSectionOfThisNodeGoesBeforeTheRestOfTheFile) {
  ASSERT_TRUE(Parse(kFile, {"--node-name=node-b"}).ok());
  EXPECT_EQ(ids_, 2);
  EXPECT_EQ(interval_, seconds(4)) << "what the section does not name is the file's";
}

TEST_F(NodeOverridesTest, FlagsAndEnvironmentGoBeforeTheSection) {
  ASSERT_TRUE(Parse(kFile, {"--node-name=node-b"}, {{"DAEMON_SHARE_IDS", "3"}}).ok());
  EXPECT_EQ(ids_, 3);
  ASSERT_TRUE(
      Parse(kFile, {"--node-name=node-b", "--share-ids=4"}, {{"DAEMON_SHARE_IDS", "3"}}).ok());
  EXPECT_EQ(ids_, 4);
}

TEST_F(NodeOverridesTest, TheNodeIsNamedByFlagThenEnvironmentThenFileThenHost) {
  const std::map<std::string, std::string> both = {{"DAEMON_NODE_NAME", "of-variable"},
                                                   {"NODE_NAME", "of-kubernetes"}};
  const char* const file = R"({"node": {"name": "of-file"}})";
  ASSERT_TRUE(Parse(file, {"--node-name=of-flag"}, both).ok());
  EXPECT_EQ(node_, "of-flag");
  ASSERT_TRUE(Parse(file, {}, both).ok());
  EXPECT_EQ(node_, "of-variable");
  ASSERT_TRUE(Parse(file, {}, {{"NODE_NAME", "of-kubernetes"}}).ok());
  EXPECT_EQ(node_, "of-kubernetes");
  ASSERT_TRUE(Parse(file).ok());
  EXPECT_EQ(node_, "of-file");
  char host[256] = {};
  ASSERT_EQ(::gethostname(host, sizeof(host) - 1), 0);
  ASSERT_TRUE(Parse("{}").ok());
  EXPECT_EQ(node_, host);
}

TEST_F(NodeOverridesTest, EveryWayOfNamingTheNodeChoosesItsSection) {
  ASSERT_TRUE(Parse(kFile, {}, {{"NODE_NAME", "node-a"}}).ok());
  EXPECT_EQ(ids_, 1);
  ASSERT_TRUE(Parse(kFile, {}, {{"DAEMON_NODE_NAME", "node-b"}, {"NODE_NAME", "node-a"}}).ok());
  EXPECT_EQ(ids_, 2);
  ASSERT_TRUE(
      Parse(R"({"node": {"name": "node-c"}, "nodes": {"node-c": {"share": {"ids": 9}}}})").ok());
  EXPECT_EQ(ids_, 9);
}

TEST_F(NodeOverridesTest, SectionsOfNodesThatAreNotThisOneDoNothing) {
  ASSERT_TRUE(Parse(kFile, {"--node-name=node-z"}).ok());
  EXPECT_EQ(ids_, 40);
  ASSERT_TRUE(Parse(R"({"nodes": {}})", {"--node-name=node-z"}).ok());
}

TEST_F(NodeOverridesTest, EachValueIsPrintedWithItsOrigin) {
  const auto printed = Parse(kFile, {"--print-config=origins"}, {{"DAEMON_NODE_NAME", "node-a"}});
  ASSERT_TRUE(printed.ok() && printed->exit_now) << printed.status().message();
  const std::string path = temporary_.Path("config.json");
  EXPECT_THAT(printed->text, HasSubstr("node.name = \"node-a\"  (environment DAEMON_NODE_NAME)\n"));
  EXPECT_THAT(printed->text, HasSubstr("health.pollInterval = \"4s\"  (file " + path + ")\n"));
  EXPECT_THAT(printed->text,
              HasSubstr("share.ids = 1  (file " + path + ", nodes.node-a.share.ids)\n"));
}

TEST_F(NodeOverridesTest, OriginsOfAnotherNodesSectionLeaveNoTrace) {
  const auto printed =
      Parse(R"({"nodes": {"node-b": {"share": {"ids": 2}}}})",
            {"--print-config=origins", "--node-name=node-a", "--health-poll-interval=1s"});
  ASSERT_TRUE(printed.ok());
  EXPECT_THAT(printed->text, HasSubstr("share.ids = 4096  (default)\n"));
  EXPECT_THAT(printed->text,
              HasSubstr("health.pollInterval = \"1s\"  (flag --health-poll-interval)\n"));
}

TEST_F(NodeOverridesTest, HelpTellsOfThem) {
  const auto help = Parse("{}", {"--help"});
  ASSERT_TRUE(help.ok());
  EXPECT_THAT(help->text, HasSubstr("--node-name=VALUE"));
  EXPECT_THAT(help->text, HasSubstr("the config file's section for this node"));
  EXPECT_THAT(help->text, HasSubstr("--print-config[=origins]"));
}

struct Mistake {
  const char* name;
  const char* nodes;
  std::vector<const char*> said;
};

class NodeOverrideMistakes : public NodeOverridesTest,
                             public testing::WithParamInterface<Mistake> {};

TEST_P(NodeOverrideMistakes, AreRefusedByNameOnEveryNode) {
  const std::string file = std::string(R"({"nodes": )") + GetParam().nodes + "}";
  for (const char* node : {"--node-name=node-a", "--node-name=another"}) {
    const auto parsed = Parse(file, {node});
    ASSERT_FALSE(parsed.ok()) << node;
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
    for (const char* part : GetParam().said) {
      EXPECT_THAT(parsed.status().message(), HasSubstr(part));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, NodeOverrideMistakes,
    testing::Values(
        Mistake{"NodesIsAList", "[]", {"nodes must be an object"}},
        Mistake{"SectionIsAList", R"({"node-a": [1]})", {"nodes.node-a must be an object"}},
        Mistake{"SectionIsNull", R"({"node-a": null})", {"nodes.node-a must be an object"}},
        Mistake{"UnknownKey",
                R"({"node-a": {"share": {"idz": 1}}})",
                {"unknown key nodes.node-a.share.idz"}},
        Mistake{"WrongType",
                R"({"node-a": {"share": {"ids": "7"}}})",
                {"nodes.node-a.share.ids", "\"7\"", "an integer from 1 to 65536"}},
        Mistake{"OutOfRange",
                R"({"node-a": {"health": {"pollInterval": "1ms"}}})",
                {"nodes.node-a.health.pollInterval", "a duration from 100ms to 1h"}},
        Mistake{"InnerSectionIsAValue",
                R"({"node-a": {"share": 1}})",
                {"nodes.node-a.share must be an object"}},
        Mistake{"NamesTheNode",
                R"({"node-a": {"node": {"name": "node-b"}}})",
                {"nodes.node-a.node.name", "cannot name the node"}},
        Mistake{"NodesInANode", R"({"node-a": {"nodes": {}}})", {"unknown key nodes.node-a.nodes"}},
        Mistake{
            "TwiceTheSameNode", R"({"node-a": {}, "node-a": {}})", {"nodes.node-a is there twice"}},
        Mistake{"TwiceTheSameKey",
                R"({"node-a": {"share": {"ids": 1, "ids": 2}}})",
                {"nodes.node-a.share.ids is there twice"}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace npu_ipc::config
