// Whole programs over the libraries: linked, loading, and with a preloaded library in between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/unit/hal/acl_sim/simulated_node.h"

namespace npu_ipc::sim {
namespace {

using ::testing::ElementsAre;

std::string Beside(const std::string& name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

// Every line that the program prints; its exit code is the last.
std::vector<std::string> OutputOf(const std::string& program, const std::string& preload) {
  ChildProcess::Options options;
  options.arguments = {Beside(program)};
  // Where a program finds the vendor's libraries; its own search path does not count for dlopen
  // under the sanitizers, whose dlopen is the caller then.
  options.environment["LD_LIBRARY_PATH"] = Beside("../lib/npu-ipc-sim");
  if (!preload.empty()) {
    options.environment["LD_PRELOAD"] = Beside(preload);
    const char* const sanitizer = ::getenv("ASAN_OPTIONS");
    options.environment["ASAN_OPTIONS"] =
        std::string(sanitizer != nullptr ? sanitizer : "") + ":verify_asan_link_order=0";
  }
  std::vector<std::string> lines;
  Result<ChildProcess> started = ChildProcess::Start(options);
  EXPECT_TRUE(started.ok()) << started.status().message();
  if (!started.ok()) return lines;
  for (;;) {
    Result<std::string> line = started->ReadLine();
    if (!line.ok()) break;
    lines.push_back(*line);
  }
  Result<int> code = started->Wait();
  lines.push_back(code.ok() ? std::to_string(*code) : code.status().message());
  return lines;
}

class ProgramsTest : public ::testing::Test {
 protected:
  SimulatedDriver driver_;
};

TEST_F(ProgramsTest, LinkedWithAscendclAlone) {
  EXPECT_THAT(OutputOf("acl_sim_linked_program", ""), ElementsAre("done", "0"));
}

TEST_F(ProgramsTest, LoadedOutOfSight) {
  EXPECT_THAT(OutputOf("acl_sim_loading_program", ""), ElementsAre("done", "0"));
}

TEST_F(ProgramsTest, APreloadedLibraryIsReachedByALinkedProgram) {
  EXPECT_THAT(
      OutputOf("acl_sim_linked_program", "libacl_sim_preloaded.so"),
      ElementsAre("rtDeviceGetBareTgid", "rtsIpcMemGetExportKey", "rtsIpcMemClose", "done", "0"));
}

TEST_F(ProgramsTest, APreloadedLibraryIsReachedByALoadingProgram) {
  EXPECT_THAT(OutputOf("acl_sim_loading_program", "libacl_sim_preloaded.so"),
              ElementsAre("rtDeviceGetBareTgid", "rtsIpcMemGetExportKey", "rtsIpcMemSetImportPid",
                          "rtsIpcMemImportByKey", "rtsIpcMemClose", "done", "0"));
}

}  // namespace
}  // namespace npu_ipc::sim
