#include "plugin/injection/library_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
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

TEST_F(LibraryStoreTest, KeepsADamagedVersionUnderAnotherName) {
  const std::string installed = Install();
  const std::string file = installed + "/libnpu_ipc.so.0.1.0";
  fs::remove(file);
  Write(file, "damaged");
  EXPECT_EQ(Install(), installed);
  ASSERT_EQ(Store().size(), 2u);
  const std::string aside = *Store().rbegin();
  EXPECT_THAT(aside, ::testing::StartsWith(fs::path(installed).filename().string() + ".damaged-"));
  EXPECT_EQ(Read(store_ + "/" + aside + "/libnpu_ipc.so"), "damaged");
  EXPECT_EQ(Read(installed + "/libnpu_ipc.so"), "the library");
}

class UnusedVersionsTest : public LibraryStoreTest {
 protected:
  static constexpr std::chrono::hours kWeek{7 * 24};

  std::string InstallVersion(const std::string& content) {
    Write(source_ + "/libnpu_ipc.so.0.1.0", content);
    return Install();
  }
  static void Age(const std::string& path, std::chrono::hours age) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - age);
  }
  std::vector<std::string> Remove(const std::string& current, const std::string& named = "") {
    const auto removed = RemoveUnusedVersions(
        store_, current, [&](const std::string& text) { return text == named; }, kWeek);
    EXPECT_TRUE(removed.ok()) << removed.status().message();
    return removed.ok() ? *removed : std::vector<std::string>();
  }
};

TEST_F(UnusedVersionsTest, AreRemoved) {
  const std::string old = InstallVersion("old");
  const std::string current = InstallVersion("new");
  Age(old, kWeek + std::chrono::hours(1));
  EXPECT_THAT(Remove(current), ::testing::ElementsAre(old));
  EXPECT_EQ(Store(), std::set<std::string>{fs::path(current).filename()});
  EXPECT_EQ(Read(current + "/libnpu_ipc.so"), "new");
}

TEST_F(UnusedVersionsTest, StayWhileAPodMayNameThem) {
  const std::string old = InstallVersion("old");
  const std::string current = InstallVersion("new");
  Age(old, 100 * kWeek);
  EXPECT_THAT(Remove(current, fs::path(old).filename()), ::testing::IsEmpty());
  EXPECT_EQ(Read(old + "/libnpu_ipc.so"), "old");
}

TEST_F(UnusedVersionsTest, StayForAWhileInAnyCase) {
  const std::string old = InstallVersion("old");
  const std::string current = InstallVersion("new");
  Age(old, kWeek - std::chrono::hours(1));
  EXPECT_THAT(Remove(current), ::testing::IsEmpty());
  Age(old, 2 * kWeek);
  MarkVersionUsed(old);
  EXPECT_THAT(Remove(current), ::testing::IsEmpty());
  Age(old, 2 * kWeek);
  InstallVersion("old");
  EXPECT_THAT(Remove(current), ::testing::IsEmpty()) << "installing it again is a use";
}

TEST_F(UnusedVersionsTest, AreNeverTheCurrentOne) {
  const std::string current = InstallVersion("new");
  Age(current, 100 * kWeek);
  EXPECT_THAT(Remove(current), ::testing::IsEmpty());
}

TEST_F(UnusedVersionsTest, CountDamagedOnesAsTheirVersion) {
  const std::string current = InstallVersion("new");
  const std::string damaged = current + ".damaged-abcdef";
  fs::copy(current, damaged, fs::copy_options::copy_symlinks | fs::copy_options::recursive);
  Age(damaged, 2 * kWeek);
  EXPECT_THAT(Remove(current, fs::path(current).filename()), ::testing::IsEmpty());
  EXPECT_THAT(Remove(current), ::testing::ElementsAre(damaged));
}

TEST_F(UnusedVersionsTest, DoNotIncludeWhatIsNotOfTheStoresMaking) {
  const std::string current = InstallVersion("new");
  const std::set<std::string> others = {"lost+found", "0123456789abcde", "0123456789abcdeg",
                                        "0123456789abcdef.old"};
  for (const std::string& name : others) {
    fs::create_directory(store_ + "/" + name);
    Age(store_ + "/" + name, 2 * kWeek);
  }
  EXPECT_THAT(Remove(current), ::testing::IsEmpty());
  EXPECT_EQ(Store().size(), others.size() + 1);
}

// In a child with a mount namespace of its own, so that the mount ends with it.
TEST_F(LibraryStoreTest, LeavesTheStoreAsItWasOnAFullDisk) {
  fs::create_directories(store_);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0) ::_exit(100);
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(101);
    if (::mount("none", store_.c_str(), "tmpfs", 0, "size=256k") != 0) ::_exit(102);
    const std::string first = Install();
    Write(source_ + "/libnpu_ipc.so.0.1.0", std::string(1 << 20, 'x'));
    const Status full = InstallLibrary(source_, store_).status();
    if (full.code() != StatusCode::kResourceExhausted) ::_exit(1);
    if (full.message().find(store_) == std::string::npos) ::_exit(2);
    if (Store() != std::set<std::string>{fs::path(first).filename()}) ::_exit(3);
    // There is room for a library of this size again.
    Write(source_ + "/libnpu_ipc.so.0.1.0", "a newer library");
    ::_exit(InstallLibrary(source_, store_).ok() ? 0 : 4);
  }
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  ASSERT_TRUE(WIFEXITED(ended));
  EXPECT_EQ(WEXITSTATUS(ended), 0) << "100 and more: this test needs to be root";
}

TEST_F(LibraryStoreTest, InstallsOnceForManyProcessesAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (i % 2 == 1) {  // half of them bring another version
        const std::string other = source_ + std::to_string(i);
        fs::create_directory(other);
        Write(other + "/libnpu_ipc.so", "another library");
        ::_exit(InstallLibrary(other, store_).ok() ? 0 : 1);
      }
      ::_exit(InstallLibrary(source_, store_).ok() ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int ended = 0;
    ASSERT_EQ(::waitpid(child, &ended, 0), child);
    EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
  }
  EXPECT_EQ(Store().size(), 2u);
  EXPECT_EQ(Read(Install() + "/libnpu_ipc.so"), "the library");
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
