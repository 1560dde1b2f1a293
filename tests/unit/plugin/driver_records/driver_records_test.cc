#include "plugin/driver_records/driver_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::driver_records {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Optional;

class DriverRecordsTest : public ::testing::Test {
 protected:
  DriverRecordsTest() : records_(temporary_.path()) {}

  void Record(const std::string& head, size_t listed = 0) {
    std::ofstream file(temporary_.Path(key_));
    file << "Ipc node detail:\nname=" << key_ << ";" << head << "\nWhite List:\n";
    for (size_t i = 0; i < listed; ++i) {
      file << "   [" << i << "]:sdid=4294967295;pid=" << i + 1 << ";set_time=5;vptr=0x0\n";
    }
  }

  ExportClaim Claim() const { return {key_, 4242, 1, 2097152}; }

  TemporaryDirectory temporary_;
  DriverRecords records_;
  const std::string key_ = std::string(64, 'a');
  const std::string head_ =
      "devid=1;pid=4242;len=2097152;page_size=2097152;need_set_wlist=1;valid=1";
};

TEST_F(DriverRecordsTest, ReadsTheWholeOfALongWhitelist) {
  Record(head_, 32768);
  const auto record = records_.Read(key_);
  ASSERT_TRUE(record.ok()) << record.status().message();
  EXPECT_EQ(record->whitelist.size(), 32768U);
  EXPECT_NE(record->Find(32768), nullptr);
}

TEST_F(DriverRecordsTest, AClaimThatTheDriverConfirmsIsNotContradicted) {
  Record(head_, 32768);
  EXPECT_EQ(records_.Contradiction(Claim()), std::nullopt);
  ExportClaim within_its_last_page = Claim();
  within_its_last_page.bytes = 1;
  EXPECT_EQ(records_.Contradiction(within_its_last_page), std::nullopt);
}

TEST_F(DriverRecordsTest, SaysInWordsWhatTheDriverSaysOtherwise) {
  Record(head_);
  ExportClaim claim = Claim();
  claim.exporter = 4243;
  EXPECT_THAT(records_.Contradiction(claim),
              Optional(HasSubstr("process 4242 made this export, not process 4243")));
  claim = Claim();
  claim.device = 3;
  EXPECT_THAT(records_.Contradiction(claim), Optional(HasSubstr("of device 1, not 3")));
  claim = Claim();
  claim.bytes = 2097153;
  EXPECT_THAT(records_.Contradiction(claim), Optional(HasSubstr("has 2097152 bytes, not 2097153")));
  Record("devid=1;pid=4242;len=2097152;need_set_wlist=1;valid=0");
  EXPECT_THAT(records_.Contradiction(Claim()), Optional(HasSubstr("is closed")));
}

TEST_F(DriverRecordsTest, AnExportThatTheDriverDoesNotHaveIsContradictedWithoutItsKey) {
  EXPECT_THAT(records_.Contradiction(Claim()),
              Optional(AllOf(HasSubstr("no such export as process 4242"), Not(HasSubstr("aaaa")))));
}

TEST_F(DriverRecordsTest, AKeyLeadsNowhereElse) {
  Record(head_);
  std::filesystem::create_directory(temporary_.Path("inner"));
  const DriverRecords inner(temporary_.Path("inner"));
  const std::string outside = "../" + key_;
  EXPECT_EQ(inner.Read(outside).status().code(), StatusCode::kNotFound);
  std::filesystem::create_symlink("../" + key_, temporary_.Path("inner/" + key_));
  EXPECT_FALSE(inner.Read(key_).ok());
}

TEST_F(DriverRecordsTest, WithoutRecordsNothingIsContradicted) {
  const DriverRecords none(temporary_.Path("none"));
  EXPECT_FALSE(none.Available());
  EXPECT_EQ(none.Read(key_).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(none.Keys().status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(none.Contradiction(Claim()), std::nullopt);
}

TEST_F(DriverRecordsTest, ARecordOfAnotherFormContradictsNothing) {
  Record("something=else");
  EXPECT_EQ(records_.Read(key_).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(records_.Contradiction(Claim()), std::nullopt);
}

TEST_F(DriverRecordsTest, KeysAreThoseThatThereAre) {
  Record(head_);
  std::ofstream(temporary_.Path("notes.txt")) << "not a key";
  const auto keys = records_.Keys();
  ASSERT_TRUE(keys.ok());
  EXPECT_THAT(*keys, ElementsAre(key_));
}

class MappingClaimTest : public DriverRecordsTest {
 protected:
  void List(pid_t pid, const char* address) {
    std::ofstream file(temporary_.Path(key_), std::ios::app);
    file << "   [0]:sdid=4294967295;pid=" << pid << ";set_time=5;vptr=" << address << "\n";
  }
  MappingClaim Mapping(pid_t importer) const { return {key_, importer, 4242, 1, 2097152}; }
};

TEST_F(MappingClaimTest, OfAProcessThatHasItOpenIsConfirmed) {
  Record(head_);
  List(5151, "0x7f00");
  EXPECT_EQ(records_.Contradiction(Mapping(5151)), std::nullopt);
}

TEST_F(MappingClaimTest, OfAnotherIsContradicted) {
  Record(head_);
  List(5151, "0x0");
  EXPECT_THAT(records_.Contradiction(Mapping(5151)),
              Optional(HasSubstr("process 5151 does not have this export mapped")));
  EXPECT_THAT(records_.Contradiction(Mapping(5152)),
              Optional(HasSubstr("process 5152 is not on this export's whitelist")));
}

TEST_F(MappingClaimTest, OfAnotherExportIsContradicted) {
  Record(head_);
  List(5151, "0x7f00");
  MappingClaim claim = Mapping(5151);
  claim.exporter = 4243;
  EXPECT_THAT(records_.Contradiction(claim), Optional(HasSubstr("process 4242 made this export")));
  claim = Mapping(5151);
  claim.device = 2;
  EXPECT_THAT(records_.Contradiction(claim), Optional(HasSubstr("of device 1, not 2")));
  claim = Mapping(5151);
  claim.bytes = 4194304;
  EXPECT_THAT(records_.Contradiction(claim), Optional(HasSubstr("2097152 bytes, not 4194304")));
}

TEST_F(MappingClaimTest, WithoutAWhitelistAnybodyMayHaveIt) {
  Record("devid=1;pid=4242;len=2097152;page_size=2097152;need_set_wlist=0;valid=1");
  EXPECT_EQ(records_.Contradiction(Mapping(5151)), std::nullopt);
}

TEST_F(MappingClaimTest, WithoutRecordsNothingIsContradicted) {
  const DriverRecords none(temporary_.Path("none"));
  EXPECT_EQ(none.Contradiction(Mapping(5151)), std::nullopt);
}

TEST_F(MappingClaimTest, AnExportThatHasGoneContradictsNothing) {
  EXPECT_EQ(records_.Contradiction(Mapping(5151)), std::nullopt);
  Record("devid=1;pid=4242;len=2097152;page_size=2097152;need_set_wlist=1;valid=0");
  EXPECT_EQ(records_.Contradiction(Mapping(5151)), std::nullopt);
}

}  // namespace
}  // namespace npu_ipc::driver_records
