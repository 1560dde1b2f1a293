// npu-device-plugin: the node's NPUs for the kubelet. Parse, build, run.
#include <malloc.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin/device/daemon.h"
#include "plugin/device/dry_run.h"

namespace npu_ipc::device {
namespace {

int Fail(const Status& status) {
  fprintf(stderr, "npu-device-plugin: %s\n", status.message().c_str());
  return EXIT_FAILURE;
}

int Main(int argc, char** argv) {
  // gRPC starts threads by the number of cores, and each would get a heap of its own, most of which
  // stays unused.
  mallopt(M_ARENA_MAX, 2);
  Settings settings;
  config::Options options = DeclareOptions(&settings);
  const config::Start start = config::Start::Of(argc, argv);
  const Result<config::Parsed> parsed = config::Parse(options, start);
  if (!parsed.ok()) return Fail(parsed.status());
  if (parsed->exit_now) {
    fputs(parsed->text.c_str(), stdout);
    return EXIT_SUCCESS;
  }
  if (const Status valid = Validate(settings); !valid.ok()) return Fail(valid);
  if (const Status complete = Complete(&settings); !complete.ok()) return Fail(complete);
  config::StartLogging(settings.log, "npu-device-plugin");

  const auto open = [library = settings.dcmi_library] { return hal::OpenDcmi(library); };
  if (settings.dry_run) {
    fputs(DryRun(settings, open, settings.output == "json").c_str(), stdout);
    return EXIT_SUCCESS;
  }

  const Result<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  if (!loop.ok()) return Fail(loop.status());
  Daemon* running = nullptr;
  const Status signals = (*loop)->OnSignals({SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
    if (signal == SIGHUP) {
      if (running != nullptr) running->Reload(start);
      return;
    }
    spdlog::info("stopping: signal={}", signal);
    (*loop)->Stop();
  });
  if (!signals.ok()) return Fail(signals);

  Result<std::unique_ptr<Daemon>> daemon = Daemon::Create(**loop, settings, open);
  if (!daemon.ok()) return Fail(daemon.status());
  running = daemon->get();
  (*loop)->Run();

  const Status failure = (*daemon)->failure();
  daemon->reset();  // ends the streams and removes the sockets
  if (failure.ok()) spdlog::info("stopped");
  const int exit_code = failure.ok() ? EXIT_SUCCESS : Fail(failure);
  // Not through the destructors of static objects: a call into the vendor's library that never came
  // back may still be running on the thread that was left to it.
  fflush(nullptr);
  quick_exit(exit_code);
}

}  // namespace
}  // namespace npu_ipc::device

int main(int argc, char** argv) { return npu_ipc::device::Main(argc, argv); }
