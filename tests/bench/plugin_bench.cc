// npu-ipc-plugin-bench: npu-device-plugin beside Go device plugins and an empty call, as ratios of
// one run. JSON on standard output.
#include <errno.h>
#include <grpcpp/grpcpp.h>
#include <sys/mount.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "hal/base/posix_error.h"
#include "hal/base/process.h"
#include "plugin/kubelet/proto/device_plugin.grpc.pb.h"
#include "tests/bench/samples.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fixtures/node_box.h"
#include "tests/fixtures/simulated_node.h"
#include "tests/fixtures/test_node.h"

namespace npu_ipc {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Where the kubelet has them; compiled into Kubernetes' sample plugin.
constexpr char kDirectory[] = "/var/lib/kubelet/device-plugins";
constexpr char kFiles[] = "/run/npu";
constexpr char kOurResource[] = "huawei.com/Ascend910B";
constexpr size_t kOurDevices = 8;

struct Settings {
  int starts = 20;
  int calls = 200;  // each stays recorded, as no kubelet says that its container is gone
  std::string go_plugin_sample;
  std::string go_plugin_bare;
  std::string installation;  // the prefix of ours; "": this build
};

// A device plugin that is measured.
struct Program {
  std::string name;
  std::string resource;
  size_t devices = 0;
  std::vector<std::string> arguments;
};

// When the kubelet accepted a registration.
class RegistrationTimes {
 public:
  using Time = std::chrono::steady_clock::time_point;

  void Follow(FakeKubelet& kubelet) {
    kubelet.OnRegistration([this](const FakeKubelet::Registration&) {
      const std::lock_guard lock(mutex_);
      times_.push_back(std::chrono::steady_clock::now());
    });
  }
  size_t Count() {
    const std::lock_guard lock(mutex_);
    return times_.size();
  }
  // Waits for it: the kubelet may be seen to have a registration a moment before its time is here.
  Result<Time> At(size_t index) {
    if (!WaitUntil([&] { return Count() > index; })) {
      return Status(StatusCode::kDeadlineExceeded, "there was no registration");
    }
    const std::lock_guard lock(mutex_);
    return times_[index];
  }

 private:
  std::mutex mutex_;
  std::vector<Time> times_;
};

Program OurPlugin(const Settings& settings, const SimulatedNode& node, const std::string& dcmi) {
  const std::string files = kFiles;
  const bool installed = !settings.installation.empty();
  const std::string programs = installed ? settings.installation + "/bin" : ThisBuild().programs;
  const std::string libraries = installed ? settings.installation + "/lib" : ThisBuild().libraries;
  return {"npu-device-plugin",
          kOurResource,
          kOurDevices,
          {programs + "/npu-device-plugin", "--dcmi-library", dcmi, "--driver-directory",
           node.driver_directory(), "--kubelet-device-plugin-directory", kDirectory,
           "--injection-library-store", files + "/library", "--injection-library-source", libraries,
           "--injection-socket-directory", files + "/npu-ipc", "--device-view-socket",
           files + "/private/device-view.sock"}};
}

Result<ChildProcess> Start(const Program& program) {
  ChildProcess::Options options;
  options.arguments = program.arguments;
  options.error_file = std::string(kFiles) + "/" + program.name + ".log";
  return ChildProcess::Start(options);
}

// VmRSS of a process, in bytes.
Result<int64_t> ResidentBytes(pid_t pid) {
  const auto status = ReadFile("/proc/" + std::to_string(pid) + "/status");
  if (!status.ok()) return status.status();
  const size_t at = status->find("VmRSS:");
  if (at == std::string::npos) return Status(StatusCode::kInternal, "no VmRSS in /proc");
  return std::stoll(status->substr(at + 6)) * 1024;
}

Status StartOnce(FakeKubelet& kubelet, RegistrationTimes& times, const Program& program,
                 Samples& start, Samples& resident) {
  const size_t before = kubelet.Registrations().size();
  const size_t times_before = times.Count();
  const auto began = std::chrono::steady_clock::now();
  Result<ChildProcess> process = Start(program);
  if (!process.ok()) return process.status();
  if (Status done = kubelet.WaitForRegistrations(before + 1); !done.ok()) {
    return done.WithContext(program.name);
  }
  if (Status listed = kubelet.WaitForHealthyDevices(program.resource, program.devices);
      !listed.ok()) {
    return listed.WithContext(program.name);
  }
  const auto registered = times.At(times_before);
  if (!registered.ok()) return registered.status();
  start.Add(*registered - began);
  const Result<int64_t> bytes = ResidentBytes(process->pid());
  if (!bytes.ok()) return bytes.status();
  resident.Add(*bytes);
  return Status::Ok();
}

json Row(const std::string& name, double ours, double against, double aim, const char* unit,
         const std::string& what) {
  return {{"figure", name},
          {"ratio", ours / against},
          {"aim", aim},
          {"against", what},
          {std::string("ours_") + unit, ours},
          {std::string("against_") + unit, against}};
}

// In turn, so that what else the machine does falls on all alike. The first two are ours, with the
// simulated driver and without.
Status MeasureStarts(const Settings& settings, FakeKubelet& kubelet, RegistrationTimes& times,
                     const std::vector<Program>& programs, json& rows) {
  std::vector<Samples> starts(programs.size()), resident(programs.size());
  for (int round = 0; round < settings.starts; ++round) {
    for (size_t i = 0; i < programs.size(); ++i) {
      if (Status once = StartOnce(kubelet, times, programs[i], starts[i], resident[i]);
          !once.ok()) {
        return once;
      }
    }
  }
  constexpr double kStartAims[] = {0.9, 1.0}, kResidentAims[] = {0.5, 0.6};
  for (size_t i = 2; i < programs.size(); ++i) {
    const bool sample = programs[i].name == "sample-device-plugin";
    for (size_t ours = 0; ours < 2; ++ours) {
      rows.push_back(Row(std::string("exec to registered, p50") +
                             (ours == 0 ? "" : ", libdcmi answers in the process"),
                         starts[ours].Percentile(50), starts[i].Percentile(50),
                         kStartAims[sample ? 0 : 1], "ns", programs[i].name));
    }
    rows.push_back(Row("resident memory, p50", resident[0].Percentile(50),
                       resident[i].Percentile(50), kResidentAims[sample ? 0 : 1], "bytes",
                       programs[i].name));
  }
  return Status::Ok();
}

Status MeasureAllocate(const Settings& settings, const std::string& socket, const std::string& id,
                       json& rows) {
  grpc::ChannelArguments arguments;
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");  // as the kubelet's client says
  const auto stub = v1beta1::DevicePlugin::NewStub(
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
  v1beta1::AllocateRequest request;
  request.add_container_requests()->add_devices_ids(id);
  Samples allocate, empty;
  grpc::Status failed;
  const auto call_both = [&](bool keep) {
    const auto call = [&](Samples& samples, auto&& method) {
      const auto began = std::chrono::steady_clock::now();
      const grpc::Status status = method();
      if (keep) samples.Add(std::chrono::steady_clock::now() - began);
      if (!status.ok()) failed = status;
    };
    call(allocate, [&] {
      grpc::ClientContext context;
      v1beta1::AllocateResponse response;
      return stub->Allocate(&context, request, &response);
    });
    call(empty, [&] {  // the plugin does nothing in it, and neither message has a field
      grpc::ClientContext context;
      v1beta1::PreStartContainerResponse response;
      return stub->PreStartContainer(&context, v1beta1::PreStartContainerRequest(), &response);
    });
  };
  for (int i = 0; i < 20 && failed.ok(); ++i) call_both(false);
  for (int i = 0; i < settings.calls && failed.ok(); ++i) call_both(true);
  if (!failed.ok())
    return Status(StatusCode::kInternal, "a call to " + socket + ": " + failed.error_message());
  rows.push_back(Row("Allocate, p50", allocate.Percentile(50), empty.Percentile(50), 1.5, "ns",
                     "an empty unary call on the same socket"));
  return Status::Ok();
}

json Seconds(const std::string& name, const Samples& samples, double aim) {
  return {{"figure", name},
          {"seconds", samples.Percentile(50) / 1e9},
          {"worst_seconds", samples.Percentile(100) / 1e9},
          {"aim_seconds", aim}};
}

// What the kubelet and people do to the plugin, and how soon it is whole again.
Status MeasureRecovery(const Settings& settings, std::unique_ptr<FakeKubelet>& kubelet,
                       RegistrationTimes& times, json& rows) {
  Samples restarted, removed;
  for (int i = 0; i < std::max(1, settings.starts / 4); ++i) {
    kubelet.reset();
    auto again = FakeKubelet::Start(kDirectory);
    if (!again.ok()) return again.status();
    const auto began = std::chrono::steady_clock::now();
    kubelet = std::move(*again);
    times.Follow(*kubelet);
    if (Status back = kubelet->WaitForHealthyDevices(kOurResource, kOurDevices); !back.ok()) {
      return back.WithContext("after a kubelet restart");
    }
    restarted.Add(std::chrono::steady_clock::now() - began);

    const auto registrations = kubelet->Registrations();
    const auto without = std::chrono::steady_clock::now();
    fs::remove(std::string(kDirectory) + "/" + registrations.back().endpoint);
    if (Status back = kubelet->WaitForRegistrations(registrations.size() + 1); !back.ok()) {
      return back.WithContext("after the socket was removed");
    }
    removed.Add(std::chrono::steady_clock::now() - without);
    if (Status back = kubelet->WaitForHealthyDevices(kOurResource, kOurDevices); !back.ok()) {
      return back.WithContext("after the socket was removed");
    }
  }
  rows.push_back(Seconds("kubelet serves again to devices listed", restarted, 2));
  rows.push_back(Seconds("socket removed to registered again", removed, 2));
  return Status::Ok();
}

Status Control(const SimulatedNode& node, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {ThisBuild().programs + "/npu-sim-control", "--socket",
                                       node.library_directory() + "/npu-sim-control.sock"});
  auto control = ChildProcess::Start({.arguments = std::move(arguments)});
  if (!control.ok()) return control.status();
  const Result<int> code = control->Wait();
  if (!code.ok()) return code.status();
  return *code == 0 ? Status::Ok() : Status(StatusCode::kInternal, "npu-sim-control failed");
}

Status MeasureFault(const SimulatedNode& node, FakeKubelet& kubelet, json& rows) {
  Samples seen;
  const auto began = std::chrono::steady_clock::now();
  if (Status injected = Control(node, {"inject", "-d", "3", "--code", "0x80e18005", "--severity",
                                       "critical", "--name", "HBM"});
      !injected.ok()) {
    return injected;
  }
  if (Status unhealthy = kubelet.WaitForHealthyDevices(kOurResource, kOurDevices - 1);
      !unhealthy.ok()) {
    return unhealthy.WithContext("after a fault");
  }
  seen.Add(std::chrono::steady_clock::now() - began);
  rows.push_back(Seconds("DCMI fault to ListAndWatch", seen, 2));
  return Status::Ok();
}

Status MakeDirectories() {
  // The sample plugin's directory cannot be chosen. The box's mounts are its own.
  if (::mount("tmpfs", "/var/lib", "tmpfs", 0, nullptr) != 0) return PosixError(errno, "mount");
  std::error_code error;
  for (const std::string& path : {std::string(kDirectory), std::string(kFiles) + "/npu-ipc",
                                  std::string(kFiles) + "/library"}) {
    fs::create_directories(path, error);
    if (error) return PosixError(error.value(), "create " + path);
  }
  return Status::Ok();
}

Status MeasureAll(const Settings& settings, json& rows) {
  if (Status made = MakeDirectories(); !made.ok()) return made;
  auto node = SimulatedNode::Start("910b", kFiles, std::string(kFiles) + "/driver.log");
  if (!node.ok()) return node.status();
  auto started = FakeKubelet::Start(kDirectory);
  if (!started.ok()) return started.status();
  std::unique_ptr<FakeKubelet> kubelet = std::move(*started);
  RegistrationTimes times;
  times.Follow(*kubelet);

  std::vector<Program> programs = {
      OurPlugin(settings, **node, (*node)->library_directory() + "/libdcmi.so"),
      OurPlugin(settings, **node, ThisBuild().libraries + "/bench-vendor/libdcmi.so")};
  if (!settings.go_plugin_sample.empty()) {
    programs.push_back(
        {"sample-device-plugin", "example.com/resource", 2, {settings.go_plugin_sample}});
  }
  if (!settings.go_plugin_bare.empty()) {
    programs.push_back(
        {"bare-device-plugin", "example.com/bare", 8, {settings.go_plugin_bare, kDirectory}});
  }
  if (Status done = MeasureStarts(settings, *kubelet, times, programs, rows); !done.ok()) {
    return done;
  }
  // Those measured above are registered still: what is waited for is the new one.
  const size_t before = kubelet->Registrations().size();
  const Result<ChildProcess> plugin = Start(programs[0]);
  if (!plugin.ok()) return plugin.status();
  if (Status registered = kubelet->WaitForRegistrations(before + 1); !registered.ok()) {
    return registered;
  }
  if (Status listed = kubelet->WaitForHealthyDevices(kOurResource, kOurDevices); !listed.ok()) {
    return listed;
  }
  const std::string socket =
      std::string(kDirectory) + "/" + kubelet->Registrations().back().endpoint;
  const std::string id = kubelet->Devices(kOurResource).front().id;
  for (const auto& step :
       {std::function<Status()>([&] { return MeasureAllocate(settings, socket, id, rows); }),
        std::function<Status()>([&] { return MeasureRecovery(settings, kubelet, times, rows); }),
        std::function<Status()>([&] { return MeasureFault(**node, *kubelet, rows); })}) {
    if (Status done = step(); !done.ok()) return done;
  }
  return Status::Ok();
}

int Measure(const Settings& settings) {
  json rows = json::array();
  if (Status measured = MeasureAll(settings, rows); !measured.ok()) {
    const auto said = ReadFile(std::string(kFiles) + "/npu-device-plugin.log");
    std::cerr << measured.message() << "\n" << (said.ok() ? *said : "") << std::endl;
    return 1;
  }
  std::cout << json{{"figures", rows}}.dump(2) << std::endl;
  return 0;
}

}  // namespace
}  // namespace npu_ipc

int main(int argc, char** argv) {
  CLI::App app(
      "npu-device-plugin beside Go device plugins and an empty call, as JSON. Needs root.");
  npu_ipc::Settings settings;
  app.add_option("--starts", settings.starts, "of each plugin")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--calls", settings.calls, "of Allocate")
      ->check(CLI::Range(10, 1000000))
      ->capture_default_str();
  app.add_option("--sample-plugin", settings.go_plugin_sample, "Kubernetes' sample device plugin")
      ->check(CLI::ExistingFile);
  app.add_option("--bare-plugin", settings.go_plugin_bare, "tests/go/bare-device-plugin")
      ->check(CLI::ExistingFile);
  app.add_option("--installation", settings.installation,
                 "measure the plugin that is installed under this prefix; default: this build's")
      ->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);
  return npu_ipc::RunInNodeBox([&] { return npu_ipc::Measure(settings); });
}
