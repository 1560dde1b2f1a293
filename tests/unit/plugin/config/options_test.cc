#include "plugin/config/options.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

class OptionsTest : public testing::Test {
 protected:
  OptionsTest() {
    options_.Add("kubelet.socketDirectory", "where the kubelet listens", &directory_);
    options_.Add("health.enabled", "watch health", &enabled_);
    options_.Add("health.pollInterval", "how often", &interval_, 100ms, 1h);
    options_.Add("share.ids", "how many ids", &ids_, 1, 65536);
    options_.Add("resources", "what to serve", &resources_);
    options_.AddChoice("mode", "how", &mode_, {"mounts", "cdi"});
  }

  Result<Parsed> Parse(std::vector<const char*> arguments,
                       const std::map<std::string, std::string>& environment = {}) {
    arguments.insert(arguments.begin(), "daemon");
    return options_.Parse(static_cast<int>(arguments.size()), arguments.data(), environment);
  }

  std::string File(const std::string& text) {
    const std::string path = temporary_.Path("config.json");
    std::ofstream(path) << text;
    return "--config=" + path;
  }

  TemporaryDirectory temporary_;
  Options options_{"daemon", "A daemon.", "DAEMON"};
  std::string directory_ = "/default";
  bool enabled_ = false;
  Duration interval_ = 5s;
  int64_t ids_ = 4096;
  std::vector<std::string> resources_;
  std::string mode_ = "mounts";
};

TEST_F(OptionsTest, DefaultsStayWhereNothingIsSaid) {
  ASSERT_TRUE(Parse({}).ok());
  EXPECT_EQ(directory_, "/default");
  EXPECT_EQ(interval_, 5s);
}

TEST_F(OptionsTest, FlagGoesBeforeEnvironmentAndThatBeforeTheFile) {
  const std::string file =
      File(R"({"kubelet": {"socketDirectory": "/file"}, "share": {"ids": 1}, "mode": "cdi"})");
  const auto parsed =
      Parse({file.c_str(), "--kubelet-socket-directory", "/flag"},
            {{"DAEMON_KUBELET_SOCKET_DIRECTORY", "/environment"}, {"DAEMON_SHARE_IDS", "2"}});
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(directory_, "/flag");
  EXPECT_EQ(ids_, 2);
  EXPECT_EQ(mode_, "cdi");
}

TEST_F(OptionsTest, EveryKindOfValueIsReadFromAFile) {
  const std::string file = File(R"({"health": {"enabled": true, "pollInterval": "250ms"},
                                    "share": {"ids": 7}, "resources": ["a", "b"]})");
  ASSERT_TRUE(Parse({file.c_str()}).ok());
  EXPECT_TRUE(enabled_);
  EXPECT_EQ(interval_, 250ms);
  EXPECT_EQ(ids_, 7);
  EXPECT_THAT(resources_, ElementsAre("a", "b"));
}

TEST_F(OptionsTest, ASwitchIsTrueAloneAndFalseWhenToldSo) {
  ASSERT_TRUE(Parse({"--health-enabled"}).ok());
  EXPECT_TRUE(enabled_);
  ASSERT_TRUE(Parse({"--health-enabled=false"}).ok());
  EXPECT_FALSE(enabled_);
}

TEST_F(OptionsTest, TheConfigFileCanBeNamedByTheEnvironment) {
  const std::string path = File(R"({"share": {"ids": 9}})").substr(strlen("--config="));
  ASSERT_TRUE(Parse({}, {{"DAEMON_CONFIG", path}}).ok());
  EXPECT_EQ(ids_, 9);
}

TEST_F(OptionsTest, PrintConfigPrintsWhatIsInForceAsAFileThatIsAccepted) {
  const auto printed = Parse({"--print-config", "--mode=cdi", "--health-poll-interval=90s"});
  ASSERT_TRUE(printed.ok());
  ASSERT_TRUE(printed->exit_now);
  mode_ = "mounts";
  interval_ = 1s;
  ASSERT_TRUE(Parse({File(printed->text).c_str()}).ok());
  EXPECT_EQ(mode_, "cdi");
  EXPECT_EQ(interval_, 90s);
}

TEST_F(OptionsTest, PrintConfigSurvivesWhatIsNotUtf8) {
  const auto printed = Parse({"--print-config", "--kubelet-socket-directory=/\xff"});
  ASSERT_TRUE(printed.ok());
  EXPECT_THAT(printed->text, HasSubstr("\"/\xef\xbf\xbd\"")) << "U+FFFD in its place";
}

TEST_F(OptionsTest, HelpNamesEverySettingWithWhatItTakesAndItsDefault) {
  const auto help = Parse({"--help"});
  ASSERT_TRUE(help.ok() && help->exit_now);
  EXPECT_THAT(help->text, HasSubstr("--health-poll-interval=VALUE"));
  EXPECT_THAT(help->text, HasSubstr("a duration from 100ms to 1h; default \"5s\""));
  EXPECT_THAT(help->text, HasSubstr("DAEMON_KUBELET_SOCKET_DIRECTORY"));
}

TEST_F(OptionsTest, VariablesThatKubernetesSetsForAServiceOfTheSameNameAreNoMistake) {
  const auto parsed = Parse({}, {{"DAEMON_SERVICE_HOST", "10.96.3.1"},
                                 {"DAEMON_SERVICE_PORT_METRICS", "9500"},
                                 {"DAEMON_PORT_9500_TCP_ADDR", "10.96.3.1"}});
  EXPECT_TRUE(parsed.ok()) << parsed.status().message();
}

struct Mistake {
  const char* name;
  const char* file;      // or nullptr
  const char* flag;      // or nullptr
  const char* variable;  // "NAME=value" or nullptr
  std::vector<const char*> said;
};

class Mistakes : public OptionsTest, public testing::WithParamInterface<Mistake> {};

TEST_P(Mistakes, AreRefusedByName) {
  const Mistake& mistake = GetParam();
  std::vector<const char*> arguments;
  std::string file;
  if (mistake.file != nullptr) {
    file = File(mistake.file);
    arguments.push_back(file.c_str());
  }
  if (mistake.flag != nullptr) arguments.push_back(mistake.flag);
  std::map<std::string, std::string> environment;
  if (mistake.variable != nullptr) {
    const std::string text = mistake.variable;
    environment[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  }
  const auto parsed = Parse(arguments, environment);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
  for (const char* part : mistake.said) EXPECT_THAT(parsed.status().message(), HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(
    All, Mistakes,
    testing::Values(
        Mistake{"NotJson", "{", nullptr, nullptr, {"config.json", "not valid JSON"}},
        Mistake{"TwiceTheSameKey",
                R"({"share": {"ids": 1, "ids": 2}})",
                nullptr,
                nullptr,
                {"config.json", "share.ids is there twice"}},
        Mistake{"TwiceTheSameSection",
                R"({"share": {"ids": 1}, "share": {"ids": 2}})",
                nullptr,
                nullptr,
                {"share is there twice"}},
        Mistake{
            "NodesWhereThereAreNone", R"({"nodes": {}})", nullptr, nullptr, {"unknown key nodes"}},
        Mistake{"NotUtf8", "{\"mode\": \"\xff\"}", nullptr, nullptr, {"not valid JSON"}},
        Mistake{"WaysToPrint", nullptr, "--print-config=yaml", nullptr, {"'yaml'", "origins"}},
        Mistake{"NotAnObject", "[]", nullptr, nullptr, {"one JSON object"}},
        Mistake{
            "UnknownKey", R"({"share": {"idz": 1}})", nullptr, nullptr, {"unknown key share.idz"}},
        Mistake{"UnknownSection", R"({"shares": {}})", nullptr, nullptr, {"unknown key shares"}},
        Mistake{
            "SectionIsAValue", R"({"share": 1})", nullptr, nullptr, {"share must be an object"}},
        Mistake{"WrongType",
                R"({"share": {"ids": "7"}})",
                nullptr,
                nullptr,
                {"share.ids", "\"7\"", "an integer from 1 to 65536"}},
        Mistake{"OutOfRange", R"({"share": {"ids": 0}})", nullptr, nullptr, {"share.ids", "0"}},
        Mistake{"HugeNumber",
                R"({"share": {"ids": 99999999999999999999}})",
                nullptr,
                nullptr,
                {"share.ids"}},
        Mistake{"BadDuration",
                R"({"health": {"pollInterval": "5"}})",
                nullptr,
                nullptr,
                {"health.pollInterval", "a duration from 100ms to 1h"}},
        // In nanoseconds it is 2^64 and 25 minutes.
        Mistake{"DurationBeyondAllNumbers",
                R"({"health": {"pollInterval": "5124096h"}})",
                nullptr,
                nullptr,
                {"health.pollInterval", "5124096h"}},
        Mistake{"BadBoolean",
                R"({"health": {"enabled": "yes"}})",
                nullptr,
                nullptr,
                {"health.enabled", "true or false"}},
        Mistake{"BadList", R"({"resources": [1]})", nullptr, nullptr, {"resources", "a list"}},
        Mistake{"BadChoice", R"({"mode": "magic"})", nullptr, nullptr, {"mode", "mounts, cdi"}},
        Mistake{"UnknownFlag", nullptr, "--no-such-flag", nullptr, {"--no-such-flag", "--help"}},
        Mistake{"BadFlag", nullptr, "--share-ids=many", nullptr, {"--share-ids", "'many'"}},
        Mistake{"UnknownVariable", nullptr, nullptr, "DAEMON_SHARE_IDZ=1", {"DAEMON_SHARE_IDZ"}},
        Mistake{"BadVariable", nullptr, nullptr, "DAEMON_MODE=magic", {"DAEMON_MODE", "'magic'"}}),
    [](const auto& test) { return test.param.name; });

TEST_F(OptionsTest, AConfigFileThatIsNotThereIsNamed) {
  const auto parsed = Parse({"--config=/no/such/file.json"});
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.status().message(), HasSubstr("/no/such/file.json"));
}

}  // namespace
}  // namespace npu_ipc::config
