#include "plugin/pods/file_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::pods {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string PodNamed(const std::string& name) {
  return R"({"kind": "Pod", "metadata": {"uid": "u", "namespace": "n", "name": ")" + name + "\"}}";
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

class FilePodDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::Create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
  }

  void Open() {
    auto opened = FilePodDirectory::Open(*loop_, path_);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    pods_ = std::move(opened).value();
  }

  // Runs the loop until `condition` holds after a notification.
  void RunUntil(const std::function<bool()>& condition) {
    if (condition()) return;
    bool held = false;
    pods_->OnChange([&](const std::vector<std::string>& changed) {
      changed_ = changed;
      held = condition();
      if (held) loop_->Stop();
    });
    const auto timer = loop_->RunAfter(std::chrono::seconds(30), [this] { loop_->Stop(); });
    loop_->Run();
    loop_->Cancel(timer);
    pods_->OnChange(nullptr);
    ASSERT_TRUE(held) << pods_->state().problem;
  }

  bool Knows(const std::string& name) {
    const auto pod = pods_->Find("u");
    return pod != nullptr && pod->name == name;
  }

  const TemporaryDirectory temporary_;
  const std::string path_ = temporary_.Path("pods.json");
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<FilePodDirectory> pods_;
  std::vector<std::string> changed_;
};

TEST_F(FilePodDirectoryTest, ReadsTheFileAndItsChangesInPlace) {
  Write(path_, PodNamed("first"));
  Open();
  EXPECT_TRUE(Knows("first"));
  EXPECT_TRUE(pods_->state().ready);
  EXPECT_EQ(pods_->state().pods, 1U);
  Write(path_, PodNamed("second"));
  RunUntil([this] { return Knows("second"); });
  EXPECT_THAT(changed_, testing::ElementsAre("u"));
}

TEST_F(FilePodDirectoryTest, ReadsAFileThatIsRenamedOverIt) {
  Write(path_, PodNamed("first"));
  Open();
  Write(temporary_.Path("next"), PodNamed("second"));
  fs::rename(temporary_.Path("next"), path_);
  RunUntil([this] { return Knows("second"); });
}

TEST_F(FilePodDirectoryTest, FollowsAConfigMapsSymlinkSwap) {
  for (const std::string version : {"v1", "v2"}) {
    fs::create_directory(temporary_.Path(version));
    Write(temporary_.Path(version + "/pods.json"), PodNamed(version));
  }
  fs::create_symlink("v1", temporary_.Path("..data"));
  fs::create_symlink("..data/pods.json", path_);
  Open();
  EXPECT_TRUE(Knows("v1"));
  fs::create_symlink("v2", temporary_.Path("..data_tmp"));
  fs::rename(temporary_.Path("..data_tmp"), temporary_.Path("..data"));
  RunUntil([this] { return Knows("v2"); });
}

TEST_F(FilePodDirectoryTest, FollowsTheFileThatASymlinkLeadsTo) {
  fs::create_directory(temporary_.Path("elsewhere"));
  Write(temporary_.Path("elsewhere/real.json"), PodNamed("first"));
  fs::create_symlink("elsewhere/real.json", path_);
  Open();
  Write(temporary_.Path("elsewhere/real.json"), PodNamed("second"));
  RunUntil([this] { return Knows("second"); });
}

TEST_F(FilePodDirectoryTest, IsNotReadyUntilTheFileIsThere) {
  Open();
  EXPECT_FALSE(pods_->state().ready);
  EXPECT_THAT(pods_->state().problem, HasSubstr(path_));
  Write(path_, PodNamed("late"));
  RunUntil([this] { return Knows("late"); });
  EXPECT_TRUE(pods_->state().ready);
}

TEST_F(FilePodDirectoryTest, KeepsTheLastGoodPodsWhileTheFileIsMalformed) {
  Write(path_, PodNamed("first"));
  Open();
  Write(path_, "{\"kind\": \"Pod\", ");
  RunUntil([this] { return !pods_->state().ready; });
  EXPECT_TRUE(Knows("first"));
  EXPECT_THAT(pods_->state().problem, HasSubstr("parse error"));
  EXPECT_TRUE(changed_.empty());
  Write(path_, PodNamed("second"));
  RunUntil([this] { return Knows("second"); });
  EXPECT_TRUE(pods_->state().ready);
  EXPECT_EQ(pods_->state().problem, "");
}

TEST_F(FilePodDirectoryTest, KeepsTheLastGoodPodsWhenTheFileIsRemoved) {
  Write(path_, PodNamed("first"));
  Open();
  fs::remove(path_);
  RunUntil([this] { return !pods_->state().ready; });
  EXPECT_TRUE(Knows("first"));
}

TEST_F(FilePodDirectoryTest, NeedsTheFilesDirectory) {
  const auto opened = FilePodDirectory::Open(*loop_, temporary_.Path("none/pods.json"));
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(opened.status().message(), HasSubstr(temporary_.Path("none")));
}

}  // namespace
}  // namespace npu_ipc::pods
