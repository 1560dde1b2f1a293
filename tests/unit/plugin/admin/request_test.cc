#include "plugin/admin/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npu_ipc::admin {
namespace {

using testing::HasSubstr;

TEST(AdminRequest, IsReadAsItIsWritten) {
  const Request request{Topic::kDoctor, "team/trainer-0", "r.1.2"};
  const Result<Request> read = ParseRequest(FormatRequest(request));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, request);
}

TEST(AdminRequest, WhatIsWrongIsSaid) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "no JSON object"},
      {"[]", "no JSON object"},
      {"{", "no JSON object"},
      {"{}", "no topic"},
      {R"({"topic": 1})", "'topic' is not a string"},
      {R"({"topic": "keys"})", "unknown topic 'keys'"},
      {R"({"topic": "shares", "all": "yes"})", "unknown member 'all'"},
      {R"({"topic": "doctor", "pod": "trainer-0"})", "namespace/name"}};
  for (const auto& [text, reason] : cases) {
    const Result<Request> request = ParseRequest(text);
    EXPECT_EQ(request.status().code(), StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(request.status().message(), HasSubstr(reason)) << text;
  }
}

}  // namespace
}  // namespace npu_ipc::admin
