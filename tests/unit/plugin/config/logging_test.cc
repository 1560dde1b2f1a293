#include "plugin/config/logging.h"

#include <spdlog/spdlog.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npu_ipc::config {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Logged(const LogSettings& settings, const std::string& message) {
  StartLogging(settings, "daemon");
  testing::internal::CaptureStderr();
  spdlog::info("{}", message);
  return testing::internal::GetCapturedStderr();
}

TEST(Logging, WhatAContainerSentCannotForgeASecondLine) {
  const std::string text = Logged({}, "pod a\n2026 info: granted");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_THAT(text, HasSubstr("info daemon: pod a?2026 info: granted"));
}

TEST(Logging, JsonLinesAreWholeObjectsWhateverTheMessageHolds) {
  const std::string text = Logged({"info", "json"}, "a \"quoted\"\n\xff text");
  const auto parsed = nlohmann::json::parse(text, nullptr, false);
  ASSERT_TRUE(parsed.is_object()) << text;
  EXPECT_EQ(parsed["level"], "info");
  EXPECT_THAT(parsed["message"].get<std::string>(), HasSubstr("\"quoted\"\n"));
}

TEST(Logging, LevelsBelowTheChosenOneAreNotLogged) {
  EXPECT_EQ(Logged({"error", "text"}, "quiet"), "");
}

}  // namespace
}  // namespace npu_ipc::config
