// npu-ipc-demo: what `tests/demo` runs.
#include <unistd.h>

#include <iostream>

#include <CLI/CLI.hpp>

#include "tests/fixtures/node_box.h"
#include "tests/walkthrough/walkthrough.h"

namespace npu_ipc {
namespace {

int Demonstrate(const WalkthroughOptions& options) {
  Walkthrough walkthrough(options);
  const Status done = walkthrough.Run();
  if (done.ok()) {
    std::cout << "\nDone: two isolated pods shared " << Size(options.bytes)
              << " of device memory, with nothing but an annotation." << std::endl;
    return 0;
  }
  std::cerr << "\nFAILED: " << done.message() << "\n\n" << walkthrough.Logs() << std::flush;
  return 1;
}

int Run(int argc, char** argv) {
  CLI::App app(
      "Shows two isolated pods sharing a simulated NPU's memory, each step checked. Needs root.\n"
      "Exits with 0 only if every step was so.");
  app.name("tests/demo");
  WalkthroughOptions options;
  app.add_option("--node", options.node,
                 "the simulated node: 910b (8 cards), 910b-box16 (16 cards) or 910c (16 dies)")
      ->check(CLI::IsMember({"910b", "910b-box16", "910c"}))
      ->capture_default_str();
  app.add_option("--bytes", options.bytes,
                 "size of the shared region, a multiple of 2 MiB; 1GiB, 64MiB")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(uint64_t{2} << 20, uint64_t{16} << 30))
      ->default_str("1GiB");
  app.add_flag("--verbose", options.verbose, "show what Allocate answered");
  CLI11_PARSE(app, argc, argv);
  if (::geteuid() != 0) {
    std::cerr
        << "tests/demo needs root: it makes namespaces, cgroups and device nodes of its own\n";
    return 1;
  }
  return RunInNodeBoxWithCgroup([&](const std::string& cgroup) {
    options.cgroup = cgroup;
    return Demonstrate(options);
  });
}

}  // namespace
}  // namespace npu_ipc

int main(int argc, char** argv) { return npu_ipc::Run(argc, argv); }
