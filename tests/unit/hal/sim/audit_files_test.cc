#include "hal/sim/driver/audit_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "hal/base/process.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::sim {
namespace {

Share ShareNamed(char digit) {
  Share share = {};
  share.key = std::string(64, digit);
  share.creator = 100;
  return share;
}

std::set<std::string> FilesIn(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

class AuditFilesTest : public ::testing::Test {
 protected:
  AuditFilesTest() : directory_(temporary_.Path("svm_shmem")) {
    Result<std::unique_ptr<AuditFiles>> files = AuditFiles::Create(directory_);
    EXPECT_TRUE(files.ok()) << files.status().message();
    files_ = std::move(*files);
  }

  TemporaryDirectory temporary_;
  std::string directory_;
  std::unique_ptr<AuditFiles> files_;
};

TEST_F(AuditFilesTest, AFileAShareReadableByItsOwnerOnly) {
  const Share share = ShareNamed('a');
  files_->OnChanged(share);
  const std::string path = directory_ + "/" + share.key;
  EXPECT_EQ(ReadFile(path).value(), AuditFiles::Describe(share));
  struct stat file = {};
  ASSERT_EQ(::stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0400U);
}

TEST_F(AuditFilesTest, AChangeIsSeenAndARemovedShareIsGone) {
  Share share = ShareNamed('a');
  files_->OnChanged(share);
  share.whitelist_required = false;
  files_->OnChanged(share);
  EXPECT_THAT(ReadFile(directory_ + "/" + share.key).value(),
              ::testing::HasSubstr(";need_set_wlist=0;"));
  EXPECT_EQ(FilesIn(directory_), std::set<std::string>{share.key});
  files_->OnRemoved(share);
  EXPECT_TRUE(FilesIn(directory_).empty());
}

TEST_F(AuditFilesTest, WhatIsListedInAdditionFollowsWhatIsThere) {
  Share share = ShareNamed('a');
  share.whitelist.push_back(std::make_unique<WhitelistEntry>(WhitelistEntry{1, 10, nullptr}));
  files_->OnChanged(share);
  share.whitelist.push_back(std::make_unique<WhitelistEntry>(WhitelistEntry{2, 20, nullptr}));
  share.whitelist.push_back(std::make_unique<WhitelistEntry>(WhitelistEntry{3, 30, nullptr}));
  files_->OnListed(share, 1);
  EXPECT_EQ(ReadFile(directory_ + "/" + share.key).value(), AuditFiles::Describe(share));
  const Share without_file = ShareNamed('b');
  files_->OnListed(without_file, 0);
  EXPECT_EQ(ReadFile(directory_ + "/" + without_file.key).value(),
            AuditFiles::Describe(without_file));
}

TEST_F(AuditFilesTest, FilesGoWithTheDriverAndThoseOfAKilledOneAtTheNextStart) {
  files_->OnChanged(ShareNamed('a'));
  files_.reset();
  EXPECT_TRUE(FilesIn(directory_).empty());
  std::ofstream(directory_ + "/" + std::string(64, 'b')) << "left behind";
  std::ofstream(directory_ + "/notes.txt") << "not ours";
  ASSERT_TRUE(AuditFiles::Create(directory_).ok());
  EXPECT_EQ(FilesIn(directory_), std::set<std::string>{"notes.txt"});
}

TEST_F(AuditFilesTest, ADirectoryThatCannotBeMadeIsAnErrorThatNamesIt) {
  const auto files = AuditFiles::Create("/proc/none/svm_shmem");
  ASSERT_FALSE(files.ok());
  EXPECT_THAT(files.status().message(), ::testing::HasSubstr("/proc/none/svm_shmem"));
}

}  // namespace
}  // namespace npu_ipc::sim
