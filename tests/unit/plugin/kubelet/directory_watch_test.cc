#include "plugin/kubelet/directory_watch.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/plugin/kubelet/loop_thread.h"

namespace npu_ipc::kubelet {
namespace {

namespace fs = std::filesystem;

class DirectoryWatchTest : public ::testing::Test {
 protected:
  void Watch(const std::string& directory) {
    loop_.Do([&] {
      auto watch = DirectoryWatch::Create(
          loop_.loop(), directory,
          {[this](const std::string& name) { Add("created " + name); },
           [this](const std::string& name) { Add("removed " + name); }, [this] { Add("rescan"); }});
      ASSERT_TRUE(watch.ok()) << watch.status().message();
      watch_ = std::move(*watch);
    });
  }
  void TearDown() override {
    loop_.Do([&] { watch_.reset(); });
  }

  void Add(const std::string& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
    changed_.notify_all();
  }
  // Waits for the event and forgets it and what came before.
  bool WaitFor(const std::string& event) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      for (size_t i = 0; i < events_.size(); ++i) {
        if (events_[i] != event) continue;
        events_.erase(events_.begin(), events_.begin() + static_cast<ptrdiff_t>(i) + 1);
        return true;
      }
      return false;
    });
  }
  static void Touch(const std::string& path) { std::ofstream(path) << "x"; }

  TemporaryDirectory directory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
  LoopThread loop_;
  std::unique_ptr<DirectoryWatch> watch_;
};

TEST_F(DirectoryWatchTest, TellsOfFilesThatComeAndGo) {
  Watch(directory_.path());
  Touch(directory_.Path("a"));
  EXPECT_TRUE(WaitFor("created a"));
  fs::rename(directory_.Path("a"), directory_.Path("b"));
  EXPECT_TRUE(WaitFor("removed a"));
  EXPECT_TRUE(WaitFor("created b"));
  fs::remove(directory_.Path("b"));
  EXPECT_TRUE(WaitFor("removed b"));
}

TEST_F(DirectoryWatchTest, FindsADirectoryThatIsMadeLater) {
  Watch(directory_.Path("x/y/z"));
  fs::create_directory(directory_.Path("x"));
  fs::create_directories(directory_.Path("x/y/z"));
  EXPECT_TRUE(WaitFor("rescan"));
  Touch(directory_.Path("x/y/z/a"));
  EXPECT_TRUE(WaitFor("created a"));
}

TEST_F(DirectoryWatchTest, FindsADirectoryThatIsMovedIntoPlace) {
  Watch(directory_.Path("x/y"));
  fs::create_directories(directory_.Path("elsewhere/y"));
  fs::rename(directory_.Path("elsewhere"), directory_.Path("x"));
  EXPECT_TRUE(WaitFor("rescan"));
  Touch(directory_.Path("x/y/a"));
  EXPECT_TRUE(WaitFor("created a"));
}

TEST_F(DirectoryWatchTest, FollowsTheNameWhenTheDirectoryIsMadeAnew) {
  const std::string directory = directory_.Path("x");
  fs::create_directory(directory);
  Watch(directory);
  fs::remove(directory);
  EXPECT_TRUE(WaitFor("rescan"));
  fs::create_directory(directory);
  EXPECT_TRUE(WaitFor("rescan"));
  Touch(directory + "/a");
  EXPECT_TRUE(WaitFor("created a"));

  fs::rename(directory, directory_.Path("moved"));
  EXPECT_TRUE(WaitFor("rescan"));
  fs::create_directory(directory);
  EXPECT_TRUE(WaitFor("rescan"));
  Touch(directory_.Path("moved/of-no-interest"));
  Touch(directory + "/b");
  EXPECT_TRUE(WaitFor("created b"));
  const std::lock_guard lock(mutex_);
  EXPECT_TRUE(events_.empty()) << events_.front();
}

TEST_F(DirectoryWatchTest, SurvivesTheLossOfAnAncestor) {
  fs::create_directories(directory_.Path("x/y"));
  Watch(directory_.Path("x/y/z"));
  fs::remove_all(directory_.Path("x"));
  fs::create_directories(directory_.Path("x/y/z"));
  EXPECT_TRUE(WaitFor("rescan"));
  Touch(directory_.Path("x/y/z/a"));
  EXPECT_TRUE(WaitFor("created a"));
}

}  // namespace
}  // namespace npu_ipc::kubelet
