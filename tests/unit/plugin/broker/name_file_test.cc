#include "plugin/broker/name_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class NameFileTest : public testing::Test {
 protected:
  std::unique_ptr<NameFile> Open(const std::string& boot = "boot") {
    Result<std::unique_ptr<NameFile>> file = NameFile::Open(path_, boot);
    EXPECT_TRUE(file.ok()) << file.status().message();
    return file.ok() ? std::move(file).value() : nullptr;
  }
  // What a broker that starts now finds.
  std::vector<std::string> Found(const std::string& boot = "boot") {
    std::vector<std::string> found;
    for (const NameFile::Entry& entry : Open(boot)->TakeFound()) {
      found.push_back(entry.name.Text() + " " + std::to_string(entry.exporter.pid) + " " +
                      std::to_string(entry.exporter.start_time_ticks) + " " +
                      std::to_string(entry.client));
    }
    return found;
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_.Path("state/names");
  const GroupKey group_{"team", "weights"};
};

TEST_F(NameFileTest, HoldsWhatWasWrittenAndNotCleared) {
  {
    const auto file = Open();
    EXPECT_THAT(file->TakeFound(), IsEmpty());
    file->Write({group_, "rank-0"}, {10, 1000}, 1);
    const NameFile::Slot gone = file->Write({group_, "rank-1"}, {20, 2000}, 2);
    file->Write({group_, " a/b \xc3\xa9"}, {30, 3000}, 3);
    EXPECT_NE(gone, NameFile::kNoSlot);
    file->Clear(gone);
  }
  EXPECT_THAT(Found(), UnorderedElementsAre("team/weights/rank-0 10 1000 1",
                                            "team/weights/ a/b \xc3\xa9 30 3000 3"));
}

TEST_F(NameFileTest, TheLongestNameHasRoom) {
  const RegionName longest{{std::string(63, 'n'), std::string(127, 'g')}, std::string(127, 'r')};
  EXPECT_NE(Open()->Write(longest, {4194304, UINT64_MAX}, UINT64_MAX), NameFile::kNoSlot);
  EXPECT_THAT(Open()->TakeFound(),
              ElementsAre(testing::Field(&NameFile::Entry::name, testing::Eq(longest))));
}

TEST_F(NameFileTest, WhatWasClearedIsUsedAgainAlsoAfterARestart) {
  {
    const auto file = Open();
    const NameFile::Slot first = file->Write({group_, "rank-0"}, {10, 1000}, 1);
    file->Write({group_, "rank-1"}, {10, 1000}, 1);
    file->Clear(first);
  }
  const auto size = std::filesystem::file_size(path_);
  EXPECT_NE(Open()->Write({group_, "rank-2"}, {10, 1000}, 1), NameFile::kNoSlot);
  EXPECT_EQ(std::filesystem::file_size(path_), size);
  EXPECT_THAT(Found(), UnorderedElementsAre("team/weights/rank-1 10 1000 1",
                                            "team/weights/rank-2 10 1000 1"));
}

TEST_F(NameFileTest, AnotherBootIsForgotten) {
  Open()->Write({group_, "rank-0"}, {10, 1000}, 1);
  EXPECT_THAT(Found("next"), IsEmpty());
  EXPECT_THAT(Found("boot"), IsEmpty());
}

TEST_F(NameFileTest, WhatIsNoSuchFileIsReplacedAndHalfOfOneIsReadAsFarAsItGoes) {
  std::filesystem::create_directories(directory_.Path("state"));
  std::ofstream(path_) << "something else";
  ::chmod(path_.c_str(), 0600);
  {
    const auto file = Open();
    file->Write({group_, "rank-0"}, {10, 1000}, 1);
    file->Write({group_, "rank-1"}, {10, 1000}, 1);
  }
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  EXPECT_THAT(Found(), ElementsAre("team/weights/rank-0 10 1000 1"));
  std::fstream(path_, std::ios::in | std::ios::out).seekp(512) << "10 x";
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(NameFileTest, AFileThatOthersCanWriteIsNotTrusted) {
  Open()->Write({group_, "rank-0"}, {10, 1000}, 1);
  ::chmod(path_.c_str(), 0622);
  EXPECT_EQ(NameFile::Open(path_, "boot").status().code(), StatusCode::kPermissionDenied);
}

TEST_F(NameFileTest, ADeviceWithoutRoomCostsTheNameAlone) {
  const auto file = Open();
  const rlimit none{512, RLIM_INFINITY};
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  EXPECT_EQ(file->Write({group_, "rank-0"}, {10, 1000}, 1), NameFile::kNoSlot);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_NE(file->Write({group_, "rank-1"}, {10, 1000}, 1), NameFile::kNoSlot);
  EXPECT_THAT(Found(), ElementsAre("team/weights/rank-1 10 1000 1"));
}

TEST(BootIdTest, IsOneLine) {
  const Result<std::string> id = BootId();
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(id->size(), 36U) << *id;
}

}  // namespace
}  // namespace npu_ipc::broker
