#include "plugin/injection/cdi_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "hal/base/process.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::injection {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const NpuDevice kNpu0 = {"npu-0", 0, "/dev/davinci0"};
const NpuDevice kNpu3 = {"npu-3", 3, "/dev/davinci3"};

bool Named(const std::string&) { return true; }
bool Unnamed(const std::string&) { return false; }

class CdiSpecTest : public ::testing::Test {
 protected:
  CdiSpecTest() {
    common_.mounts = {{"/usr/local/Ascend/driver/lib64", "/opt/driver/lib64", true},
                      {"/var/queue", "/var/queue", false}};
    common_.device_nodes = {{"/dev/davinci_manager", "/dev/davinci_manager"}};
    common_.environment = {{"NAME", "a value"}};
  }
  Status Write(const std::vector<NpuDevice>& devices, const MayBeNamed& may_be_named = Unnamed) {
    return WriteCdiSpec(cdi_, common_, devices, may_be_named);
  }
  json Spec() const {
    const Result<std::string> text = ReadFile(path_);
    return text.ok() ? json::parse(*text, nullptr, false) : json();
  }
  std::vector<std::string> Devices() const {
    std::vector<std::string> names;
    const json spec = Spec();
    if (!spec.is_object()) return names;
    for (const json& device : spec["devices"]) names.push_back(device["name"]);
    return names;
  }
  size_t Files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(cdi_), {}));
  }

  TemporaryDirectory directory_;
  const std::string cdi_ = directory_.Path("run/cdi");
  const std::string path_ = cdi_ + "/npu-ipc.io-npu.json";
  ContainerChanges common_;
};

TEST_F(CdiSpecTest, SaysWhatADevicesNameStandsFor) {
  ASSERT_TRUE(Write({kNpu3, kNpu0}).ok());
  EXPECT_EQ(Spec(), json::parse(R"({
    "cdiVersion": "0.5.0",
    "kind": "npu-ipc.io/npu",
    "devices": [
      {"name": "npu-0", "containerEdits": {"deviceNodes": [
        {"path": "/dev/davinci0", "hostPath": "/dev/davinci0", "permissions": "rw"}]}},
      {"name": "npu-3", "containerEdits": {"deviceNodes": [
        {"path": "/dev/davinci3", "hostPath": "/dev/davinci3", "permissions": "rw"}]}}
    ],
    "containerEdits": {
      "env": ["NAME=a value"],
      "deviceNodes": [
        {"path": "/dev/davinci_manager", "hostPath": "/dev/davinci_manager", "permissions": "rw"}],
      "mounts": [
        {"hostPath": "/opt/driver/lib64", "containerPath": "/usr/local/Ascend/driver/lib64",
         "options": ["rbind", "rprivate", "nosuid", "nodev", "ro"]},
        {"hostPath": "/var/queue", "containerPath": "/var/queue",
         "options": ["rbind", "rprivate", "nosuid", "nodev", "rw"]}]
    }})"));
  struct stat file = {};
  ASSERT_EQ(::stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0644u);
  EXPECT_EQ(Files(), 1u);
}

TEST_F(CdiSpecTest, CallsDevicesAsAllocateDoes) {
  EXPECT_EQ(QualifiedCdiName("npu-3"), "npu-ipc.io/npu=npu-3");
}

TEST_F(CdiSpecTest, IsLeftAloneWhereItIsRight) {
  ASSERT_TRUE(Write({kNpu0}).ok());
  struct stat before = {};
  ASSERT_EQ(::stat(path_.c_str(), &before), 0);
  ASSERT_TRUE(Write({kNpu0}).ok());
  struct stat after = {};
  ASSERT_EQ(::stat(path_.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  common_.mounts.clear();
  ASSERT_TRUE(Write({kNpu0}).ok());
  ASSERT_EQ(::stat(path_.c_str(), &after), 0);
  EXPECT_NE(before.st_ino, after.st_ino) << "replaced, not written into";
}

TEST_F(CdiSpecTest, KeepsADeviceThatIsGoneForAsLongAsAPodNamesIt) {
  ASSERT_TRUE(Write({kNpu0, kNpu3}).ok());
  const json gone = Spec()["devices"][1];
  const auto names_npu_3 = [](const std::string& name) { return name == "npu-ipc.io/npu=npu-3"; };
  ASSERT_TRUE(Write({kNpu0}, names_npu_3).ok());
  EXPECT_THAT(Devices(), ElementsAre("npu-0", "npu-3"));
  EXPECT_EQ(Spec()["devices"][1], gone);
  ASSERT_TRUE(Write({kNpu0}, Unnamed).ok());
  EXPECT_THAT(Devices(), ElementsAre("npu-0"));
}

TEST_F(CdiSpecTest, BringsADeviceThatIsStillThereUpToDate) {
  ASSERT_TRUE(Write({{"npu-0", 0, "/dev/old0"}}).ok());
  ASSERT_TRUE(Write({kNpu0}, Named).ok());
  EXPECT_EQ(Spec()["devices"][0]["containerEdits"]["deviceNodes"][0]["path"], "/dev/davinci0");
}

TEST_F(CdiSpecTest, ReplacesWhatItCannotRead) {
  std::filesystem::create_directories(cdi_);
  for (const char* text : {"", "{", "[]", R"({"devices":7})", R"({"devices":[7,{},{"name":1}]})"}) {
    std::ofstream(path_) << text;
    ASSERT_TRUE(Write({kNpu0}, Named).ok()) << text;
    EXPECT_THAT(Devices(), ElementsAre("npu-0")) << text;
  }
}

TEST_F(CdiSpecTest, RefusesNamesThatCdiDoesNotAllow) {
  ASSERT_TRUE(Write({kNpu0}).ok());
  for (const char* name : {"", "-npu", "npu-", "npu 3", "npu/3", "npu=3", "npu\n3"}) {
    const Status status = Write({{name, 3, "/dev/davinci3"}});
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(status.message(), HasSubstr(std::string("'") + name + "'"));
  }
  EXPECT_THAT(Devices(), ElementsAre("npu-0")) << "the spec before stays";
}

TEST_F(CdiSpecTest, IsRemovedOnceNoPodCanNameIt) {
  EXPECT_TRUE(RemoveCdiSpec(cdi_, Named).value()) << "there is none";
  ASSERT_TRUE(Write({kNpu0}).ok());
  EXPECT_FALSE(RemoveCdiSpec(cdi_, [](const std::string& text) {
                 return text == "npu-ipc.io/npu";
               }).value());
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_TRUE(RemoveCdiSpec(cdi_, Unnamed).value());
  EXPECT_THAT(Files(), 0u);
}

TEST_F(CdiSpecTest, SaysWhyItCannotBeWrittenAndLeavesNothing) {
  std::filesystem::create_directories(directory_.Path("run"));
  std::ofstream(cdi_) << "a file where the directory should be";
  const Status status = Write({kNpu0});
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr(cdi_));
}

// A runtime that starts a container reads the file at any moment, and several plugins may write it.
TEST_F(CdiSpecTest, IsWholeAtEveryMoment) {
  ASSERT_TRUE(Write({kNpu0}).ok());
  std::atomic<bool> done = false;
  int broken = 0;
  std::thread runtime([&] {
    while (!done) broken += Devices().empty() ? 1 : 0;
  });
  std::vector<std::thread> plugins;
  for (int p = 0; p < 2; ++p) {
    plugins.emplace_back([this] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(Write(i % 2 == 0 ? std::vector{kNpu0, kNpu3} : std::vector{kNpu0}).ok());
      }
    });
  }
  for (std::thread& plugin : plugins) plugin.join();
  done = true;
  runtime.join();
  EXPECT_EQ(broken, 0);
  EXPECT_EQ(Files(), 1u);
}

}  // namespace
}  // namespace npu_ipc::injection
