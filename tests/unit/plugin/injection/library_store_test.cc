#include "plugin/injection/library_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "hal/base/process.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::injection {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class LibraryStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(source_);
    Write(source_ + "/libnpu_ipc.so.0.1.0", "the library");
    fs::create_symlink("libnpu_ipc.so.0.1.0", source_ + "/libnpu_ipc.so.0");
    fs::create_symlink("libnpu_ipc.so.0", source_ + "/libnpu_ipc.so");
    Write(source_ + "/libother.so", "not ours");
    Write(source_ + "/libnpu_ipc_base.a", "not a shared library");
  }

  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  static std::string Read(const std::string& path) {
    const Result<std::string> text = ReadFile(path);
    return text.ok() ? *text : text.status().message();
  }
  std::string Install() {
    const Result<std::string> installed = InstallLibrary(source_, store_);
    EXPECT_TRUE(installed.ok()) << installed.status().message();
    return installed.ok() ? *installed : "";
  }
  std::set<std::string> Store() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(store_)) names.insert(entry.path().filename());
    return names;
  }

  TemporaryDirectory directory_;
  const std::string source_ = directory_.Path("source");
  const std::string store_ = directory_.Path("some/store");
};

TEST_F(LibraryStoreTest, KeepsTheLibraryAndItsNamesUnderItsContent) {
  const std::string installed = Install();
  EXPECT_EQ(fs::path(installed).parent_path(), store_);
  EXPECT_EQ(fs::path(installed).filename().string().size(), 16u);
  EXPECT_EQ(Read(installed + "/libnpu_ipc.so"), "the library");
  EXPECT_EQ(fs::read_symlink(installed + "/libnpu_ipc.so.0"), "libnpu_ipc.so.0.1.0");
  EXPECT_FALSE(fs::exists(installed + "/libother.so"));
  EXPECT_FALSE(fs::exists(installed + "/libnpu_ipc_base.a"));
  EXPECT_EQ(Store().size(), 1u) << "nothing else is left in the store";
}

TEST_F(LibraryStoreTest, LetsAnybodyMapTheLibraryAndNobodyWriteIt) {
  const std::string installed = Install();
  struct stat file = {};
  ASSERT_EQ(::stat((installed + "/libnpu_ipc.so").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0555u);
  struct stat directory = {};
  ASSERT_EQ(::stat(installed.c_str(), &directory), 0);
  EXPECT_EQ(directory.st_mode & 07777, 0755u);
}

TEST_F(LibraryStoreTest, WritesNothingWhereTheVersionIsThere) {
  const std::string first = Install();
  struct stat before = {};
  ASSERT_EQ(::stat((first + "/libnpu_ipc.so").c_str(), &before), 0);
  EXPECT_EQ(Install(), first);
  struct stat after = {};
  ASSERT_EQ(::stat((first + "/libnpu_ipc.so").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(LibraryStoreTest, GivesANewVersionADirectoryOfItsOwn) {
  const std::string first = Install();
  Write(source_ + "/libnpu_ipc.so.0.1.0", "a newer library");
  const std::string second = Install();
  EXPECT_NE(first, second);
  EXPECT_EQ(Read(first + "/libnpu_ipc.so"), "the library");
  EXPECT_EQ(Read(second + "/libnpu_ipc.so"), "a newer library");
}

TEST_F(LibraryStoreTest, CountsNamesAsContent) {
  const std::string first = Install();
  fs::create_symlink("libnpu_ipc.so.0.1.0", source_ + "/libnpu_ipc_preload.so");
  EXPECT_NE(Install(), first);
}

TEST_F(LibraryStoreTest, CopiesWhatALinkLeadsToOutsideTheDirectory) {
  Write(directory_.Path("elsewhere.so"), "the library, elsewhere");
  fs::remove(source_ + "/libnpu_ipc.so");
  fs::create_symlink(directory_.Path("elsewhere.so"), source_ + "/libnpu_ipc.so");
  const std::string installed = Install();
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(installed + "/libnpu_ipc.so")));
  EXPECT_EQ(Read(installed + "/libnpu_ipc.so"), "the library, elsewhere");
}

TEST_F(LibraryStoreTest, MovesADamagedVersionAsideInsteadOfWritingIntoIt) {
  const std::string installed = Install();
  const std::string file = installed + "/libnpu_ipc.so.0.1.0";
  fs::permissions(file, fs::perms::owner_all);
  std::ofstream(file) << "damaged";
  const UniqueFd mapped_by_a_pod(::open(file.c_str(), O_RDONLY | O_CLOEXEC));

  EXPECT_EQ(Install(), installed);
  EXPECT_EQ(Read(installed + "/libnpu_ipc.so"), "the library");
  char text[16] = {};
  ASSERT_EQ(::pread(mapped_by_a_pod.get(), text, sizeof(text), 0), 7);
  EXPECT_STREQ(text, "damaged") << "the file that is in use was written to";
}

TEST_F(LibraryStoreTest, ClearsWhatAKilledInstallationLeft) {
  fs::create_directories(store_ + "/.incoming-abcdef");
  Write(store_ + "/.incoming-abcdef/libnpu_ipc.so", "half");
  const std::string installed = Install();
  EXPECT_EQ(Store(), std::set<std::string>{fs::path(installed).filename()});
}

TEST_F(LibraryStoreTest, InstallsOnceForManyAtOnce) {
  std::vector<std::string> installed(8);
  std::vector<std::thread> threads;
  for (std::string& result : installed) {
    threads.emplace_back([&] { result = InstallLibrary(source_, store_).value(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& result : installed) EXPECT_EQ(result, installed[0]);
  EXPECT_EQ(Store().size(), 1u);
}

TEST_F(LibraryStoreTest, SaysThatTheSourceHasNoLibrary) {
  fs::remove(source_ + "/libnpu_ipc.so");
  const Status status = InstallLibrary(source_, store_).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("injection.librarySource"));
  EXPECT_THAT(status.message(), HasSubstr(source_));
  EXPECT_EQ(InstallLibrary(directory_.Path("none"), store_).status().code(), StatusCode::kNotFound);
}

TEST_F(LibraryStoreTest, RefusesLinksThatLeadNowhere) {
  fs::remove(source_ + "/libnpu_ipc.so.0.1.0");
  EXPECT_EQ(InstallLibrary(source_, store_).status().code(), StatusCode::kNotFound);
  fs::remove(source_ + "/libnpu_ipc.so");
  fs::create_symlink("/nowhere/libnpu_ipc.so", source_ + "/libnpu_ipc.so");
  EXPECT_EQ(InstallLibrary(source_, store_).status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(fs::exists(store_));
}

// In a child with a mount namespace of its own, so that the mount ends with it.
TEST_F(LibraryStoreTest, RefusesAStoreWhereNothingCanBeMapped) {
  fs::create_directories(store_);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0) ::_exit(100);
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(101);
    if (::mount("none", store_.c_str(), "tmpfs", MS_NOEXEC, nullptr) != 0) ::_exit(102);
    const Status status = InstallLibrary(source_, store_).status();
    const bool explained = status.message().find("noexec") != std::string::npos &&
                           status.message().find("injection.libraryStore") != std::string::npos;
    ::_exit(status.code() == StatusCode::kFailedPrecondition && explained ? 0 : 1);
  }
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  ASSERT_TRUE(WIFEXITED(ended));
  EXPECT_EQ(WEXITSTATUS(ended), 0) << "100 and more: this test needs to be root";
}

}  // namespace
}  // namespace npu_ipc::injection
