#include "plugin/kubectl/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace npu_ipc::kubectl {
namespace {

const std::vector<Column> kColumns = {{"NAME"}, {"AGE", false, true}, {"UID", true}};

std::string Printed(const Table& table, const TableStyle& style) {
  std::ostringstream out;
  PrintTable(table, style, out);
  return out.str();
}

TEST(Table, IsAsWideAsItMustBe) {
  const Table table{kColumns, {{"a", "5s", "u1"}, {"longer-name", "10s", ""}}};
  EXPECT_EQ(Printed(table, {}),
            "NAME          AGE\n"
            "a             5s\n"
            "longer-name   10s\n");
  EXPECT_EQ(Printed(table, {.wide = true, .headers = false}),
            "a             5s    u1\n"
            "longer-name   10s   <none>\n");
}

TEST(Table, ShowsNoControlCharacters) {
  EXPECT_EQ(Printed({{{"A"}}, {{"x\033[2Jy\n"}}}, {.headers = false}), "x?[2Jy?\n");
}

TEST(Table, WatchedShowsWhatIsNewOrOtherwise) {
  std::ostringstream out;
  TableWatcher watcher({}, out);
  watcher.Print({kColumns, {{"a", "1s", "1"}, {"b", "1s", "1"}}});
  out.str("");
  watcher.Print({kColumns, {{"a", "2s", "1"}, {"b", "2s", "1"}}});
  EXPECT_EQ(out.str(), "");
  watcher.Print({kColumns, {{"a", "3s", "1"}, {"b", "3s", "2"}, {"c", "0s", "1"}}});
  EXPECT_EQ(out.str(), "b   3s\nc   0s\n");
}

TEST(Table, AgesAreAsKubectlHasThem) {
  const std::pair<int64_t, const char*> ages[] = {
      {-5, "0s"},          {0, "0s"},         {119, "119s"},          {120, "2m"},
      {125, "2m5s"},       {599, "9m59s"},    {600, "10m"},           {3 * 3600 - 1, "179m"},
      {10800, "3h"},       {11000, "3h3m"},   {8 * 3600, "8h"},       {47 * 3600, "47h"},
      {49 * 3600, "2d1h"}, {8 * 86400, "8d"}, {800 * 86400, "2y70d"}, {3000 * 86400, "8y"}};
  for (const auto& [seconds, text] : ages) EXPECT_EQ(FormatAge(seconds), text) << seconds;
}

TEST(Table, BytesHaveAUnit) {
  EXPECT_EQ(FormatBytes(0), "0");
  EXPECT_EQ(FormatBytes(1023), "1023");
  EXPECT_EQ(FormatBytes(4096), "4Ki");
  EXPECT_EQ(FormatBytes(1610612736), "1.5Gi");
  EXPECT_EQ(FormatBytes(uint64_t{64} << 30), "64Gi");
}

}  // namespace
}  // namespace npu_ipc::kubectl
