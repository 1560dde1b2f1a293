// What holds for any text, tried with many that are nearly right.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "plugin/identity/cgroup.h"
#include "tests/unit/plugin/identity/cgroup_names.h"

namespace npu_ipc::identity {
namespace {

constexpr int kTries = 20000;

// Each with one line, and one container.
const std::vector<std::string> kLines = {
    "0::/kubepods/pod" + kUid + "/" + kId + "\n",
    "4:cpu,cpuacct:/kubepods/burstable/pod" + kStaticUid + "/crio-" + kId + "\n",
    "1:name=systemd:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kSystemdUid +
        ".slice/cri-containerd-" + kId + ".scope\n",
    "0::/../../../besteffort/pod" + kUid + "/" + kId + "\n",
    "0::/docker/" + kOtherId + "/kubelet/kubepods/pod" + kUid + "/" + kId + "\n",
    "0::/../kubepods-pod" + kSystemdUid + ".slice:cri-containerd:" + kId + "\n",
};
// What paths and lines are made of.
const std::vector<std::string> kPieces = {"/",
                                          "..",
                                          ":",
                                          "0::/",
                                          "\n",
                                          "kubepods",
                                          "kubepods.slice",
                                          "burstable",
                                          "besteffort",
                                          "user.slice",
                                          ".scope",
                                          ".slice",
                                          "cri-containerd-",
                                          "crio-",
                                          "crio-conmon-",
                                          "pod",
                                          kUid,
                                          kSystemdUid,
                                          kStaticUid,
                                          kId,
                                          kOtherId,
                                          "/pod" + kOtherUid + "/" + kOtherId};

class RandomCgroupText : public testing::Test {
 protected:
  size_t Below(size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(engine_);
  }
  const std::string& OneOf(const std::vector<std::string>& texts) {
    return texts[Below(texts.size())];
  }
  char Byte() { return static_cast<char>(Below(256)); }

  // One small change, wherever it falls.
  void Damage(std::string& text) {
    const size_t at = Below(text.size() + 1);
    switch (Below(5)) {
      case 0:
        text.insert(at, OneOf(kPieces));
        break;
      case 1:
        text.insert(at, 1, Byte());
        break;
      case 2:
        text.erase(at, 1 + Below(8));
        break;
      case 3:
        text.resize(at);
        break;
      default:
        if (at < text.size()) text[at] = Byte();
    }
  }

  // Components of a container's own choice.
  std::string AnythingBelow() {
    std::string path;
    for (size_t left = 1 + Below(5); left > 0; --left) {
      path += "/";
      for (size_t pieces = Below(3); pieces > 0; --pieces) path += OneOf(kPieces);
      for (size_t bytes = Below(4); bytes > 0; --bytes) path += Byte();
    }
    std::erase(path, '\n');  // the kernel makes no cgroup with one in its name
    return path;
  }

  std::mt19937 engine_{20260101};
};

bool IsHex(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return std::string_view("0123456789abcdef").find(c) != std::string_view::npos;
  });
}

TEST_F(RandomCgroupText, NamesNothingThatItDoesNotHold) {
  int accepted = 0;
  for (int i = 0; i < kTries; ++i) {
    std::string text = OneOf(kLines);
    if (Below(2) == 0) text += OneOf(kLines);
    for (size_t changes = 1 + Below(6); changes > 0; --changes) Damage(text);
    const Result<ContainerCgroup> found = ParseCgroup(text);
    if (!found.ok()) continue;
    ++accepted;
    std::string plain_uid = found->pod_uid;
    std::erase(plain_uid, '-');
    ASSERT_TRUE(plain_uid.size() == 32 && IsHex(plain_uid)) << text;
    ASSERT_TRUE(found->container_id.size() == 64 && IsHex(found->container_id)) << text;
    ASSERT_NE(text.find(found->container_id), std::string::npos) << text;
  }
  EXPECT_GT(accepted, kTries / 100) << "the texts are too far from what is accepted";
  EXPECT_LT(accepted, kTries / 2) << "the texts are not damaged enough";
}

TEST_F(RandomCgroupText, IsNotChangedByAnythingBelowTheContainer) {
  for (int i = 0; i < kTries; ++i) {
    std::string text = OneOf(kLines);
    const Result<ContainerCgroup> right = ParseCgroup(text);
    ASSERT_TRUE(right.ok()) << text;
    text.insert(text.size() - 1, AnythingBelow());
    const Result<ContainerCgroup> found = ParseCgroup(text);
    ASSERT_TRUE(found.ok()) << text << found.status().message();
    ASSERT_EQ(*found, *right) << text;
  }
}

TEST_F(RandomCgroupText, IsRefusedWithAnyLineThatNamesAnother) {
  const std::string other = "7:pids:/kubepods/pod" + kOtherUid + "/" + kOtherId;
  for (int i = 0; i < kTries; ++i) {
    std::string text = OneOf(kLines);
    const bool first = Below(2) == 0;
    const std::string line = other + AnythingBelow() + "\n";
    text = first ? line + text : text + line;
    ASSERT_EQ(ParseCgroup(text).status().code(), StatusCode::kPermissionDenied) << text;
  }
}

TEST_F(RandomCgroupText, OfBytesAloneIsNeverAPod) {
  for (int i = 0; i < kTries / 4; ++i) {
    std::string text(Below(2000), '\0');
    std::generate(text.begin(), text.end(), [this] { return Byte(); });
    ASSERT_FALSE(ParseCgroup(text).ok());
  }
}

}  // namespace
}  // namespace npu_ipc::identity
