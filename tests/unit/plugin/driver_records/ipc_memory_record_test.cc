#include "plugin/driver_records/ipc_memory_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace npu_ipc::driver_records {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHead[] =
    "Ipc node detail:\n"
    "name=00001092000000000000000701000000000000000000000000000000000000000;sdid=4194303;devid=1;"
    "vfid=0;pid=4242;vptr=0x124080000000;len=2097152;page_size=2097152;is_huge=1;is_reserve=0;"
    "need_set_wlist=1;valid=1;key=7;ref=2;mem_repair=0\n"
    "White List:\n";
constexpr char kEntries[] =
    "   [0]:sdid=4294967295;pid=77;set_time=123456789;vptr=0x0\n"
    "   [1]:sdid=4294967295;pid=78;set_time=223456789;vptr=0x124080200000\n"
    "   [2]:sdid=12;pid=77;set_time=323456789;vptr=0x1\n";

std::string Replaced(std::string text, const std::string& what, const std::string& with) {
  return text.replace(text.find(what), what.size(), with);
}

TEST(IpcMemoryRecord, HasWhatTheDriverPrints) {
  const auto record = ParseIpcMemoryRecord(std::string(kHead) + kEntries);
  ASSERT_TRUE(record.ok()) << record.status().message();
  EXPECT_EQ(record->key.substr(0, 8), "00001092");
  EXPECT_EQ(record->device, 1U);
  EXPECT_EQ(record->creator, 4242);
  EXPECT_EQ(record->bytes, 2097152U);
  EXPECT_EQ(record->page_bytes, 2097152U);
  EXPECT_TRUE(record->whitelist_required);
  EXPECT_TRUE(record->valid);
  ASSERT_EQ(record->whitelist.size(), 3U);
  EXPECT_EQ(record->whitelist[1], (ListedProcess{ListedProcess::kThisServer, 78, 223456789, true}));
}

TEST(IpcMemoryRecord, FindsAProcessOfThisServerAlone) {
  const auto record = ParseIpcMemoryRecord(std::string(kHead) + kEntries);
  ASSERT_TRUE(record.ok());
  ASSERT_NE(record->Find(77), nullptr);
  EXPECT_EQ(record->Find(77)->set_time_ns, 123456789U);
  EXPECT_FALSE(record->Find(77)->open);
  EXPECT_EQ(record->Find(79), nullptr);
}

TEST(IpcMemoryRecord, ValidationThatIsOffAndAClosingExportAreSeen) {
  const auto record = ParseIpcMemoryRecord(
      Replaced(Replaced(kHead, "need_set_wlist=1", "need_set_wlist=0"), "valid=1", "valid=0"));
  ASSERT_TRUE(record.ok());
  EXPECT_FALSE(record->whitelist_required);
  EXPECT_FALSE(record->valid);
  EXPECT_TRUE(record->whitelist.empty());
}

TEST(IpcMemoryRecord, OtherVersionsMayHaveOtherFields) {
  const auto record = ParseIpcMemoryRecord(
      "name=ab;need_set_wlist=1;new_field=maybe;flag;valid=1;len=4096;pid=1;devid=0\n");
  ASSERT_TRUE(record.ok()) << record.status().message();
  EXPECT_EQ(record->bytes, 4096U);
  EXPECT_EQ(record->page_bytes, 0U);
}

TEST(IpcMemoryRecord, WhatWasReadOnlySoFarHasItsWholeEntries) {
  const std::string text = std::string(kHead) + kEntries;
  const auto record = ParseIpcMemoryRecord(text.substr(0, text.size() - 10));
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->whitelist.size(), 2U);
}

TEST(IpcMemoryRecord, SaysWhatIsWrongButNeverTheKey) {
  const struct {
    std::string text;
    const char* named;
  } cases[] = {
      {"", "names no key"},
      {"Ipc node detail:\n", "names no key"},
      {"name=ab;devid=1", "ends within its first line"},
      {Replaced(kHead, "devid=1", "devid=one"), "no number as devid"},
      {Replaced(kHead, "pid=4242;", ""), "no number as pid"},
      {Replaced(kHead, "len=2097152", "len=-1"), "no number as len"},
      {Replaced(kHead, "len=2097152", "len=99999999999999999999"), "no number as len"},
      {Replaced(kHead, "need_set_wlist=1", "need_set_wlist="), "no number as need_set_wlist"},
      {Replaced(kHead, ";valid=1", ""), "no number as valid"},
      {std::string(kHead) + "   [0]:pid=seven;set_time=1;vptr=0x0\n", "entry of another form"},
      {std::string(kHead) + "garbage\n", "entry of another form, number 0"},
  };
  for (const auto& bad : cases) {
    const auto record = ParseIpcMemoryRecord(bad.text);
    ASSERT_FALSE(record.ok()) << bad.named;
    EXPECT_EQ(record.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(record.status().message(), HasSubstr(bad.named));
    EXPECT_THAT(record.status().message(), Not(HasSubstr("00001092")));
  }
}

TEST(IpcMemoryRecord, AnyTextIsReadOrRefused) {
  std::mt19937 random(7);
  const std::string good = std::string(kHead) + kEntries;
  for (int round = 0; round < 2000; ++round) {
    std::string text = good.substr(0, random() % (good.size() + 1));
    for (size_t i = 0; i < 5 && !text.empty(); ++i) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    const auto record = ParseIpcMemoryRecord(text);
    EXPECT_TRUE(!record.ok() || record->whitelist.size() <= 3U);
  }
}

}  // namespace
}  // namespace npu_ipc::driver_records
