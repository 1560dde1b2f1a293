#include "plugin/kubectl/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npu_ipc::kubectl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string ErrorOf(const std::vector<std::string>& arguments) {
  return ParseOptions(arguments).status().message();
}

TEST(KubectlOptions, HandsKubectlItsOwn) {
  const Result<Options> options =
      ParseOptions({"shares", "--context=prod", "--kubeconfig", "/k", "--as-group=a",
                    "--as-group=b", "-s", "https://x", "--insecure-skip-tls-verify"});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_THAT(options->kubectl_flags,
              ElementsAre("--as-group=a", "--as-group=b", "--context=prod", "--kubeconfig=/k",
                          "--server=https://x", "--insecure-skip-tls-verify"));
}

TEST(KubectlOptions, ReadsTheRestInAnyOrder) {
  const Result<Options> options = ParseOptions(
      {"-n", "team", "doctor", "-o", "yaml", "trainer-0", "--timeout", "1.5", "--parallel=4"});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->command, "doctor");
  EXPECT_THAT(options->arguments, ElementsAre("trainer-0"));
  EXPECT_EQ(options->pod_namespace, "team");
  EXPECT_EQ(options->format, Format::kYaml);
  EXPECT_EQ(options->timeout, std::chrono::milliseconds(1500));
  EXPECT_EQ(options->parallel, 4U);
}

TEST(KubectlOptions, TimesHaveUnitsAsKubectlsHave) {
  const auto timeout_of = [](const std::string& text) {
    const Result<Options> options = ParseOptions({"shares", "--timeout", text});
    EXPECT_TRUE(options.ok()) << options.status().message();
    return options.ok() ? options->timeout : std::chrono::milliseconds(0);
  };
  EXPECT_EQ(timeout_of("10"), std::chrono::seconds(10));
  EXPECT_EQ(timeout_of("10s"), std::chrono::seconds(10));
  EXPECT_EQ(timeout_of("500ms"), std::chrono::milliseconds(500));
  EXPECT_EQ(timeout_of("1.5m"), std::chrono::seconds(90));
  for (const char* const wrong : {"10y", "0s", "2h", "-1s"}) {
    EXPECT_THAT(ErrorOf({"shares", "--timeout", wrong}), HasSubstr("--timeout")) << wrong;
  }
}

TEST(KubectlOptions, WhatIsWrongIsSaid) {
  EXPECT_THAT(ErrorOf({"frobnicate"}), HasSubstr("unknown command \"frobnicate\""));
  EXPECT_THAT(ErrorOf({"shares", "-o", "xml"}), HasSubstr("allowed formats are: json, wide, yaml"));
  EXPECT_THAT(ErrorOf({"shares", "extra"}), HasSubstr("shares takes no argument"));
  EXPECT_THAT(ErrorOf({"doctor", "a", "b"}), HasSubstr("doctor takes one argument"));
  EXPECT_THAT(ErrorOf({"shares", "--frobnicate"}), HasSubstr("--frobnicate"));
  EXPECT_THAT(ErrorOf({"shares", "--parallel=0"}), HasSubstr("--parallel"));
  EXPECT_THAT(ErrorOf({"bundle", "--watch"}), HasSubstr("--watch"));
  EXPECT_THAT(ErrorOf({"shares", "-f", "x"}), HasSubstr("--file"));
}

TEST(KubectlOptions, HelpNamesTheCommands) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{}, {"--help"}, {"shares", "-h"}, {"help"}}) {
    const Result<Options> options = ParseOptions(arguments);
    ASSERT_TRUE(options.ok());
    EXPECT_EQ(options->command, "help");
    for (const CommandInfo& command : Commands()) {
      EXPECT_THAT(options->text, HasSubstr(std::string(command.description)));
    }
  }
}

}  // namespace
}  // namespace npu_ipc::kubectl
