#include "hal/base/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string Text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

mode_t ModeOf(const std::string& path) {
  struct stat found = {};
  EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777;
}

class StateFileTest : public testing::Test {
 protected:
  // Puts `text` where the file is, with the mode that it wants.
  void Plant(const std::string& text) {
    std::ofstream(path_, std::ios::trunc) << text;
    ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  }
  void ExpectRefused(StatusCode code, const std::string& named) {
    const Result<std::string> read = file_.Read();
    ASSERT_FALSE(read.ok()) << *read;
    EXPECT_EQ(read.status().code(), code) << read.status().message();
    EXPECT_THAT(read.status().message(), HasSubstr(named));
  }

  const TemporaryDirectory temporary_;
  const std::string directory_ = temporary_.Path("above/state");
  const std::string path_ = directory_ + "/things";
  const StateFile file_{path_, "things", 3, 1000};
};

TEST_F(StateFileTest, KeepsTheLastThatWasWritten) {
  for (const std::string& content : {std::string("one"), std::string("two\nlines\n"), std::string(),
                                     std::string("\0\xff\n", 3), std::string(1000, 'x')}) {
    const Status written = file_.Write(content);
    ASSERT_TRUE(written.ok()) << written.message();
    const Result<std::string> read = file_.Read();
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(*read, content);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()), 1);
}

TEST_F(StateFileTest, IsItsUsersAlone) {
  const mode_t before = ::umask(0);
  ASSERT_TRUE(file_.Write("one").ok());
  ::umask(before);
  EXPECT_EQ(ModeOf(path_), 0600U);
  EXPECT_EQ(ModeOf(directory_), 0700U);
}

TEST_F(StateFileTest, TakesRightsToItsDirectoryFromOthers) {
  fs::create_directories(directory_);
  ASSERT_EQ(::chmod(directory_.c_str(), 0755), 0);
  ASSERT_TRUE(file_.Write("one").ok());
  EXPECT_EQ(ModeOf(directory_), 0700U);
}

TEST_F(StateFileTest, IsNotFoundBeforeItIsWritten) {
  EXPECT_EQ(file_.Read().status().code(), StatusCode::kNotFound);
  fs::create_directories(directory_);
  ASSERT_EQ(::chmod(directory_.c_str(), 0700), 0);
  EXPECT_EQ(file_.Read().status().code(), StatusCode::kNotFound);
}

TEST_F(StateFileTest, ReadsNothingThatOthersCouldHaveTouched) {
  ASSERT_TRUE(file_.Write("one").ok());
  for (const mode_t mode : {0640, 0604, 0660, 0602, 0644}) {
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    ExpectRefused(StatusCode::kPermissionDenied, path_ + " is open to other users: its mode is 06");
  }
  ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  for (const mode_t mode : {0770, 0707, 0777, 01777}) {
    ASSERT_EQ(::chmod(directory_.c_str(), mode), 0);
    ExpectRefused(StatusCode::kPermissionDenied, directory_ + " is open to other users");
  }
  ASSERT_EQ(::chmod(directory_.c_str(), 0700), 0);
  EXPECT_EQ(*file_.Read(), "one");
}

TEST_F(StateFileTest, NeitherReadsNorWritesWhatIsAnotherUsers) {
  ASSERT_EQ(::geteuid(), 0U) << "run the tests as root";
  ASSERT_TRUE(file_.Write("one").ok());
  ASSERT_EQ(::chown(path_.c_str(), 1000, 0), 0);
  ExpectRefused(StatusCode::kPermissionDenied, path_ + " belongs to user 1000, not to 0");
  ASSERT_EQ(::chown(path_.c_str(), 0, 0), 0);
  ASSERT_EQ(::chown(directory_.c_str(), 1000, 0), 0);
  ExpectRefused(StatusCode::kPermissionDenied, directory_ + " belongs to user 1000");
  const Status written = file_.Write("two");
  EXPECT_EQ(written.code(), StatusCode::kPermissionDenied) << written.message();
  EXPECT_THAT(Text(path_), HasSubstr("one"));
}

TEST_F(StateFileTest, FollowsNoLinksAndOpensNoPipes) {
  ASSERT_TRUE(file_.Write("one").ok());
  fs::rename(path_, temporary_.Path("elsewhere"));
  fs::create_symlink(temporary_.Path("elsewhere"), path_);
  EXPECT_FALSE(file_.Read().ok());
  ASSERT_TRUE(file_.Write("two").ok());  // in the place of the link
  EXPECT_EQ(*file_.Read(), "two");
  EXPECT_THAT(Text(temporary_.Path("elsewhere")), HasSubstr("one"));
  fs::remove(path_);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  ExpectRefused(StatusCode::kPermissionDenied, "is not a file");

  fs::rename(directory_, temporary_.Path("other"));
  fs::create_symlink(temporary_.Path("other"), directory_);
  ExpectRefused(StatusCode::kPermissionDenied, "is not a directory");
  EXPECT_FALSE(file_.Write("three").ok());
}

TEST_F(StateFileTest, ReadsAllOfItOrNothing) {
  ASSERT_TRUE(file_.Write("some content\nof two lines").ok());
  const std::string whole = Text(path_);
  for (size_t length = 0; length < whole.size(); ++length) {
    Plant(whole.substr(0, length));
    ExpectRefused(StatusCode::kInvalidArgument, "is not a whole file of things, version 3");
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    Plant(changed);
    ExpectRefused(StatusCode::kInvalidArgument, "is not a whole file");
  }
  Plant(whole + "\n");
  ExpectRefused(StatusCode::kInvalidArgument, "is not a whole file");
  Plant(std::string(1300, 'x'));
  ExpectRefused(StatusCode::kInvalidArgument, "is larger than 1000 bytes");
  Plant(whole);
  EXPECT_TRUE(file_.Read().ok());
}

TEST_F(StateFileTest, IsOfItsKindAndVersionOnly) {
  ASSERT_TRUE(file_.Write("one").ok());
  EXPECT_TRUE(StateFile(path_, "things", 3).Read().ok());
  EXPECT_EQ(StateFile(path_, "things", 4).Read().status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(StateFile(path_, "others", 3).Read().status().code(), StatusCode::kInvalidArgument);
}

TEST_F(StateFileTest, KeepsWhatItHasWhereItCannotWrite) {
  ASSERT_TRUE(file_.Write("one").ok());
  EXPECT_EQ(file_.Write(std::string(1001, 'x')).code(), StatusCode::kInvalidArgument);
  fs::create_directory(path_ + ".new");  // in the way
  std::ofstream(path_ + ".new/x") << "x";
  EXPECT_FALSE(file_.Write("two").ok());
  EXPECT_EQ(*file_.Read(), "one");
}

TEST_F(StateFileTest, IsNotInTheWayOfItsNextWriteWhenItWasKilled) {
  ASSERT_TRUE(file_.Write("one").ok());
  std::ofstream(path_ + ".new") << "half of tw";
  EXPECT_EQ(*file_.Read(), "one");
  ASSERT_TRUE(file_.Write("three").ok());
  EXPECT_EQ(*file_.Read(), "three");
  EXPECT_FALSE(fs::exists(path_ + ".new"));
}

}  // namespace
}  // namespace npu_ipc
