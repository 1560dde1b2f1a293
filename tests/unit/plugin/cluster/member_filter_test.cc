#include "plugin/cluster/member_filter.h"

#include <gtest/gtest.h>

#include <string>

#include <nlohmann/json.hpp>

namespace npu_ipc::cluster {
namespace {

const MemberFilter kFilter({"spec", "metadata.managedFields", "status.conditions"});

// What is to go, and the same names where they mean something else.
const Json kBefore = Json::parse(R"({
  "kind": "Pod",
  "spec": {"containers": [{"name": "c", "metadata": {"name": "x"}}], "nodeName": "n"},
  "metadata": {"name": "a", "managedFields": [{"manager": "m", "spec": 1}],
               "labels": {"spec": "l", "managedFields": "l", "metadata.managedFields": "l"},
               "annotations": {"status": "{\"conditions\": []}"}},
  "status": {"conditions": [{"type": "Ready"}], "phase": "Running", "managedFields": 1,
             "containerStatuses": [{"spec": 1, "name": "c"}]},
  "managedFields": 2, "conditions": 3})");
const Json kAfter = Json::parse(R"({
  "kind": "Pod",
  "metadata": {"name": "a",
               "labels": {"spec": "l", "managedFields": "l", "metadata.managedFields": "l"},
               "annotations": {"status": "{\"conditions\": []}"}},
  "status": {"phase": "Running", "managedFields": 1,
             "containerStatuses": [{"spec": 1, "name": "c"}]},
  "managedFields": 2, "conditions": 3})");

TEST(MemberFilter, LeavesOutTheMembersOfAListsObjects) {
  const Json list = {{"kind", "PodList"},
                     {"metadata", {{"resourceVersion", "7"}, {"managedFields", 1}}},
                     {"spec", 1}};
  Json before = list;
  before["items"] = {kBefore, kBefore};
  Json after = list;
  after["items"] = {kAfter, kAfter};
  EXPECT_EQ(kFilter.ReadList(before.dump()), after);
}

TEST(MemberFilter, LeavesOutTheMembersOfAnEventsObject) {
  const Json before = {{"type", "ADDED"}, {"object", kBefore}, {"spec", 1}};
  const Json after = {{"type", "ADDED"}, {"object", kAfter}, {"spec", 1}};
  EXPECT_EQ(kFilter.ReadEvent(before.dump()), after);
}

TEST(MemberFilter, LeavesNothingOutWhereNothingIsNamed) {
  const Json list = {{"items", {kBefore}}};
  EXPECT_EQ(MemberFilter().ReadList(list.dump()), list);
  EXPECT_EQ(MemberFilter().ReadEvent(list.dump()), list);
}

TEST(MemberFilter, SurvivesAnyText) {
  const std::string deep(100'000, '[');
  for (const std::string text : {"", "{", "{\"items\": [{\"spec\": {]}", "not json", "\xff",
                                 "{\"spec\": 1} x", deep.c_str()}) {
    EXPECT_TRUE(kFilter.ReadList(text).is_discarded()) << text.substr(0, 40);
    EXPECT_TRUE(kFilter.ReadEvent(text).is_discarded()) << text.substr(0, 40);
  }
  for (const std::string text : {"7", "\"spec\"", "[]", "[[[{\"spec\": 1}]]]", "{}", "null"}) {
    EXPECT_FALSE(kFilter.ReadList(text).is_discarded()) << text;
    EXPECT_FALSE(kFilter.ReadEvent(text).is_discarded()) << text;
  }
  // What is left out must be JSON all the same.
  EXPECT_TRUE(kFilter.ReadEvent(R"({"object": {"spec": {"a" 1}}})").is_discarded());
}

}  // namespace
}  // namespace npu_ipc::cluster
