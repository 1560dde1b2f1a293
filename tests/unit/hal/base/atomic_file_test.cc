#include "hal/base/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "hal/base/process.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc {
namespace {

size_t Files(const std::string& directory) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

TEST(ReplaceFileTest, MakesTheDirectoryAndReplacesTheWholeFile) {
  TemporaryDirectory directory;
  const std::string path = directory.Path("a/b/file");
  ASSERT_TRUE(ReplaceFile(path, "a longer text", 0600).ok());
  ASSERT_TRUE(ReplaceFile(path, "text", 0644).ok());
  EXPECT_EQ(ReadFile(path).value(), "text");
  struct stat file = {};
  ASSERT_EQ(::stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0644u);
  EXPECT_EQ(Files(directory.Path("a/b")), 1u);
}

TEST(WriteNewFileTest, DoesNotWriteIntoAFileThatIsThere) {
  TemporaryDirectory directory;
  ASSERT_TRUE(WriteNewFile(directory.Path("file"), "first", 0644).ok());
  EXPECT_EQ(WriteNewFile(directory.Path("file"), "second", 0644).code(),
            StatusCode::kAlreadyExists);
  EXPECT_EQ(ReadFile(directory.Path("file")).value(), "first");
}

// In a child with a mount namespace of its own, so that the mount ends with it.
TEST(ReplaceFileTest, LeavesTheFileBeforeWholeOnAFullDisk) {
  TemporaryDirectory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string& disk = directory.path();
    if (::unshare(CLONE_NEWNS) != 0) ::_exit(100);
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(101);
    if (::mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0) ::_exit(102);
    if (!ReplaceFile(disk + "/file", "before", 0644).ok()) ::_exit(1);
    const Status full = ReplaceFile(disk + "/file", std::string(1 << 20, 'x'), 0644);
    if (full.code() != StatusCode::kResourceExhausted) ::_exit(2);
    if (ReadFile(disk + "/file").value() != "before") ::_exit(3);
    ::_exit(Files(disk) == 1 ? 0 : 4);
  }
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  ASSERT_TRUE(WIFEXITED(ended));
  EXPECT_EQ(WEXITSTATUS(ended), 0) << "100 and more: this test needs to be root";
}

}  // namespace
}  // namespace npu_ipc
