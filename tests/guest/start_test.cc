// LD_PRELOAD of what is injected, in programs that know nothing of it: they start and say nothing
// more than they would, whatever C library they have; static and set-user-id ones go without it.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <tuple>

#include "tests/fixtures/child_process.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/guest/environment.h"

namespace npu_ipc::test {
namespace {

constexpr int kMapped = 0;  // what maps_program answers
constexpr int kNotMapped = 3;

// Runs maps_program, or what goes by another name, to its end: its exit code, when it said nothing.
int ExitCode(std::vector<std::string> command, const char* library, bool by_launcher = false) {
  const TemporaryDirectory directory;
  ChildProcess::Options options;
  options.arguments = std::move(command);
  options.arguments.push_back(std::filesystem::path(library).filename());
  options.error_file = directory.Path("stderr");
  if (!by_launcher) options.environment["LD_PRELOAD"] = library;
  Result<ChildProcess> program = ChildProcess::Start(options);
  EXPECT_TRUE(program.ok());
  if (!program.ok()) return -1;
  const Result<int> exit_code = program->Wait();
  EXPECT_TRUE(exit_code.ok());
  EXPECT_EQ(program->ReadLine().status().code(), StatusCode::kUnavailable) << "printed something";
  std::ifstream file(directory.Path("stderr"));
  const std::string said(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(said, "");
  return exit_code.ok() ? *exit_code : -1;
}

// "libnpu_ipc" of its path: a test's name has neither dots nor dashes.
std::string Stem(const std::filesystem::path& library) {
  const std::string name = library.filename();
  return name.substr(0, name.find('.'));
}

class StartTest : public ::testing::TestWithParam<std::tuple<Environment, const char*>> {};

TEST_P(StartTest, ADynamicProgramHasIt) {
  const auto& [environment, library] = GetParam();
  EXPECT_EQ(ExitCode(environment.Command("maps_program", library), library,
                     /*by_launcher=*/*environment.preload != '\0'),
            kMapped);
}

INSTANTIATE_TEST_SUITE_P(Guest, StartTest,
                         ::testing::Combine(::testing::ValuesIn(kEnvironments),
                                            ::testing::ValuesIn(kInjectedLibraries)),
                         [](const auto& given) {
                           return std::get<0>(given.param).name +
                                  ("_" + Stem(std::get<1>(given.param)));
                         });

class UntouchedTest : public ::testing::TestWithParam<const char*> {};

TEST_P(UntouchedTest, AStaticProgramGoesWithout) {
  const Environment& environment = kEnvironments[0];
  EXPECT_EQ(ExitCode(environment.Command("static_maps_program", GetParam()), GetParam(),
                     /*by_launcher=*/*environment.preload != '\0'),
            kNotMapped);
}

#if !defined(NPU_IPC_EMULATED)  // the loader is told by the kernel, which started the emulator
TEST_P(UntouchedTest, ASetUserIdProgramGoesWithout) {
  ASSERT_EQ(::geteuid(), 0U) << "run the tests as root";
  const TemporaryDirectory directory;
  const std::string program = directory.Path("maps_program");
  std::filesystem::copy(kEnvironments[0].Command("maps_program").back(), program);
  EXPECT_EQ(ExitCode({program}, GetParam()), kMapped);
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(::chown(program.c_str(), kNobody, kNobody), 0);
  ASSERT_EQ(::chmod(program.c_str(), 04755), 0);
  EXPECT_EQ(ExitCode({program}, GetParam()), kNotMapped);
}
#endif

INSTANTIATE_TEST_SUITE_P(Guest, UntouchedTest, ::testing::ValuesIn(kInjectedLibraries),
                         [](const auto& given) { return Stem(given.param); });

}  // namespace
}  // namespace npu_ipc::test
