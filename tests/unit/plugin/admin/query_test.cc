#include "plugin/admin/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include <nlohmann/json.hpp>

namespace npu_ipc::admin {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class QueryTest : public testing::Test {
 protected:
  // Answers with each of `pages_` in turn.
  Status Print() {
    return PrintAnswer(
        {Topic::kShares, "", ""},
        [this](const std::string& request) -> Result<std::string> {
          asked_.push_back(ParseRequest(request)->from);
          return pages_.at(asked_.size() - 1);
        },
        out_);
  }

  std::vector<std::string> pages_;
  std::vector<std::string> asked_;
  std::ostringstream out_;
};

TEST_F(QueryTest, PrintsADocumentWithoutItemsAsItIs) {
  pages_ = {R"({"kind":"Version","node":"a"})"};
  ASSERT_TRUE(Print().ok());
  EXPECT_EQ(json::parse(out_.str()), json::parse(pages_[0]));
}

TEST_F(QueryTest, MakesPagesOneDocumentWithAnItemALine) {
  pages_ = {R"({"kind":"L","items":[1,2],"looseMappings":[],"metadata":{"continue":"r.1.2"}})",
            R"({"kind":"L","items":[3],"looseMappings":["x"],"metadata":{"continue":"m.1.2"}})",
            R"({"kind":"L","items":[],"looseMappings":["y"]})"};
  ASSERT_TRUE(Print().ok());
  EXPECT_THAT(asked_, testing::ElementsAre("", "r.1.2", "m.1.2"));
  EXPECT_EQ(json::parse(out_.str()),
            json::parse(R"({"kind":"L","items":[1,2,3],"looseMappings":["x","y"]})"));
  EXPECT_THAT(out_.str(), HasSubstr("\n2,\n3]"));
}

TEST_F(QueryTest, AFailureIsAnErrorWithItsReason) {
  pages_ = {R"({"kind":"Failure","message":"the broker is too busy"})"};
  EXPECT_EQ(Print().message(), "the broker is too busy");
  EXPECT_EQ(out_.str(), "");
}

TEST_F(QueryTest, WhatIsNoDocumentIsAnError) {
  pages_ = {"nonsense"};
  EXPECT_FALSE(Print().ok());
}

TEST_F(QueryTest, AFailureOnALaterPageLeavesNoWholeDocument) {
  pages_ = {R"({"kind":"L","items":[1],"metadata":{"continue":"r.1.2"}})", R"({"kind":"Failure"})"};
  EXPECT_FALSE(Print().ok());
  EXPECT_FALSE(json::accept(out_.str()));
}

}  // namespace
}  // namespace npu_ipc::admin
