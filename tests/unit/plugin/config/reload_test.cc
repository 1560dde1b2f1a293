#include "plugin/config/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Settings {
  int64_t ids = 1;
  std::string path = "/a";
  std::string mode = "mounts";
};

Options Declare(Settings* settings) {
  Options options("daemon", "A daemon.", "DAEMON");
  options.Add("ids", "how many", &settings->ids, 1, 100);
  options.Add("path", "where", &settings->path);
  options.Add("mode", "how", &settings->mode);
  options.MarkLive({"ids", "mode"});
  return options;
}

Status Check(Settings* settings) {
  if (settings->mode != "impossible") return Status::Ok();
  return {StatusCode::kInvalidArgument, "mode is impossible"};
}

class ReloadTest : public testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(temporary_.Path("config.json")) << text; }
  Result<Settings> Reread(const Settings& in_force) {
    return Reload(start_, in_force, Declare, Check);
  }

  TemporaryDirectory temporary_;
  Start start_{{"daemon", "--config=" + temporary_.Path("config.json")}, {}};
};

TEST_F(ReloadTest, TakesWhatCanChangeAndLeavesTheRest) {
  Write(R"({"ids": 2, "path": "/b"})");
  const auto next = Reread({});
  ASSERT_TRUE(next.ok()) << next.status().message();
  EXPECT_EQ(next->ids, 2);
  EXPECT_EQ(next->path, "/a");
}

TEST_F(ReloadTest, NamesEachChangeWithBothValues) {
  Settings running, read{2, "/b", "mounts"};
  Options options = Declare(&read);
  const Changes changes = options.Adopt(Declare(&running));
  EXPECT_THAT(changes.live, ElementsAre("ids: 1 -> 2"));
  EXPECT_THAT(changes.restart, ElementsAre(R"(path: "/a" -> "/b")"));
  const Changes again = options.Adopt(Declare(&running));
  EXPECT_THAT(again.restart, IsEmpty()) << "it was set back";
}

TEST_F(ReloadTest, AKeyThatIsTakenOutOfTheFileIsItsDefaultAgain) {
  Write("{}");
  const auto next = Reread({50, "/a", "mounts"});
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(next->ids, 1);
}

TEST_F(ReloadTest, AFlagStillGoesBeforeTheFile) {
  start_.arguments.push_back("--ids=7");
  Write(R"({"ids": 2})");
  const auto next = Reread({7, "/a", "mounts"});
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(next->ids, 7);
}

TEST_F(ReloadTest, RefusesTheWholeFileForOneMistake) {
  Write(R"({"mode": "other", "ids": 101})");
  EXPECT_THAT(Reread({}).status().message(), HasSubstr("ids"));
  Write(R"({"ids": 2, "mode": "impossible"})");
  EXPECT_THAT(Reread({}).status().message(), HasSubstr("mode is impossible"));
  Write("{");
  EXPECT_THAT(Reread({}).status().message(), HasSubstr("not valid JSON"));
  std::remove(temporary_.Path("config.json").c_str());
  EXPECT_THAT(Reread({}).status().message(), HasSubstr("config.json"));
}

}  // namespace
}  // namespace npu_ipc::config
