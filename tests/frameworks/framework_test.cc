#include "tests/frameworks/framework_test.h"

#include <chrono>
#include <utility>

namespace npu_ipc {
namespace {

constexpr char kFramework[] = "/opt/torch-npu";
constexpr char kTests[] = "/usr/local/lib/npu-ipc-tests/frameworks";
// Two interpreters that read 1.9 GB for the first time, on a busy machine.
constexpr std::chrono::minutes kImportDeadline{3};

// A path that its Allocate answer gives every container.
constexpr char kPreloadLibrary[] = "/usr/local/lib/npu-ipc/libnpu_ipc_preload.so";

// The simulator's AscendCL comes first, and stand-ins for the rest of CANN after it.
std::map<std::string, std::string> ImageEnvironment() {
  return {{"PYTHONPATH", kFramework},
          {"LD_LIBRARY_PATH", "/usr/local/lib/npu-ipc:/usr/local/Ascend/driver/lib64:" +
                                  std::string(kTests) + "/stand-ins"},
          {"TORCH_DEVICE_BACKEND_AUTOLOAD", "0"},  // CUDA's is built in as well
          {"OMP_NUM_THREADS", "1"},
          {"HOME", "/tmp"}};
}

}  // namespace

std::map<std::string, std::string> FrameworkTest::ImageFiles() const {
  return {{kFramework, NPU_IPC_FRAMEWORK_DIRECTORY}};
}

RemoteParty FrameworkTest::StartTorch(const PodRecord& pod, int device, Injection injection,
                                      const std::map<std::string, std::string>& environment) {
  std::map<std::string, std::string> variables = environment;
  variables.merge(ImageEnvironment());
  if (injection == Injection::kPreload) variables.emplace("LD_PRELOAD", kPreloadLibrary);
  Result<std::unique_ptr<Container>> container =
      node().Run(pod, Allocation(device),
                 {"/usr/bin/python3", std::string(kTests) + "/torch_party.py"}, variables);
  if (!container.ok()) GiveUp(container.status().message());
  return {pod, std::move(*container)};
}

void FrameworkTest::WaitForTorch(RemoteParty& party) {
  const Answer ready = party.Hear(kImportDeadline);
  ASSERT_EQ(ready.line, "ready");
  ASSERT_THAT(party.Do("device 0"), IsOk());
}

void FrameworkTest::StartBeside(RemoteParty& party) {
  party.Tell("beside device 0");
  ASSERT_THAT(party.Hear(kImportDeadline), IsOk());
}

std::string FrameworkTest::Share(RemoteParty& exporter, const std::string& name, int first_word) {
  EXPECT_THAT(exporter.Do("allocate " + name + " 100000"), IsOk());
  EXPECT_THAT(exporter.Do("write " + name + " " + std::to_string(first_word)), IsOk());
  const Answer shared = exporter.Do("share " + name);
  EXPECT_THAT(shared, IsOk());
  return shared["handle"];
}

}  // namespace npu_ipc
