#include "plugin/device/fault_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::device {
namespace {

using hal::HealthLevel;
using ::testing::HasSubstr;

FaultTable Table(const std::string& codes) {
  Result<FaultTable> table = FaultTable::Parse("{\"codes\": {" + codes + "}}");
  EXPECT_TRUE(table.ok()) << table.status().message();
  return table.ok() ? *table : FaultTable();
}

TEST(FaultTableTest, HasABuiltInTable) {
  EXPECT_EQ(FaultTable().size(), 27u);
  EXPECT_THAT(FaultTable().Judge({HealthLevel::kMajor, {0x80E18402}}), HasSubstr("0x80e18402"));
}

TEST(FaultTableTest, FollowsTheDriverWhereACodeIsNotListed) {
  const FaultTable table = Table("");
  EXPECT_EQ(table.Judge({HealthLevel::kOk, {}}), "");
  EXPECT_EQ(table.Judge({HealthLevel::kMajor, {0x1}}), "");
  EXPECT_THAT(table.Judge({HealthLevel::kCritical, {}}), HasSubstr("critical"));
  EXPECT_THAT(table.Judge({HealthLevel::kCritical, {0x1, 0xA2}}), HasSubstr("critical 0x1 0xa2"));
}

TEST(FaultTableTest, JudgesBeforeTheDriverWhereACodeIsListed) {
  const FaultTable table =
      Table(R"("0x1": "ignore", "0x2": "degraded", "0X00000003": "unhealthy")");
  EXPECT_EQ(table.Judge({HealthLevel::kCritical, {0x1, 0x2}}), "");
  EXPECT_NE(table.Judge({HealthLevel::kCritical, {0x1, 0x4}}), "") << "one of them is not listed";
  EXPECT_NE(table.Judge({HealthLevel::kMinor, {0x1, 0x3}}), "");
  EXPECT_NE(table.Judge({HealthLevel::kAbsent, {0x1}}), "") << "what is not there is not healthy";
}

TEST(FaultTableTest, NamesFaultsThatLeaveADeviceUsable) {
  const FaultTable table =
      FaultTable::Parse(R"({"codes": {"0x1": "ignore", "0x2": "degraded", "0xab": "degraded",
                                      "0x3": "unhealthy"}})")
          .value();
  EXPECT_EQ(table.Degradation({HealthLevel::kMinor, {0x1, 0x2, 0x3, 0x4, 0xab}}), "0x2 0xab");
  EXPECT_EQ(table.Degradation({HealthLevel::kMinor, {0x1, 0x3, 0x4}}), "");
}

TEST(FaultTableTest, SaysWhatIsWrongWithAFile) {
  const std::pair<const char*, const char*> cases[] = {
      {"{", "JSON"},
      {"[]", "object"},
      {R"({"codes": []})", "object"},
      {R"({"codes": {}, "more": 1})", "object"},
      {R"({"codes": {"80E18402": "unhealthy"}})", "80E18402"},
      {R"({"codes": {"0x180E18402": "unhealthy"}})", "0x180E18402"},
      {R"({"codes": {"0x": "unhealthy"}})", "0x"},
      {R"({"codes": {"0x1g": "unhealthy"}})", "0x1g"},
      {R"({"codes": {"0x1": "bad"}})", "bad"},
      {R"({"codes": {"0x1": 3}})", "accepted"},
      {R"({"codes": {"0x1": "ignore", "0x01": "ignore"}})", "twice"},
  };
  for (const auto& [text, said] : cases) {
    const Status status = FaultTable::Parse(text).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), HasSubstr(said)) << text;
  }
}

TEST(FaultTableTest, IsReadFromAFile) {
  const TemporaryDirectory directory;
  const std::string path = directory.Path("codes.json");
  EXPECT_THAT(FaultTable::Read(path).status().message(), HasSubstr(path));
  std::ofstream(path) << "{}";
  EXPECT_THAT(FaultTable::Read(path).status().message(), HasSubstr(path));
  std::ofstream(path) << R"({"codes": {"0x1": "ignore"}})";
  ASSERT_TRUE(FaultTable::Read(path).ok());
  EXPECT_EQ(FaultTable::Read(path)->size(), 1u);
}

}  // namespace
}  // namespace npu_ipc::device
