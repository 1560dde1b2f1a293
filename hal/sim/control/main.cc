// npu-sim-control: changes the devices of a running npu-sim-driver, and shows them.
#include <stdio.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "hal/base/unix_socket.h"
#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {
namespace {

using nlohmann::json;

// The driver's default, from this program's own place.
std::string DefaultSocket() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string prefix = error ? "." : self.parent_path().parent_path().string();
  return prefix + "/lib/npu-ipc-sim/" + kControlSocketFileName;
}

Result<json> Ask(const std::string& socket, const json& request) {
  const Result<UniqueFd> driver = ConnectUnix(socket);
  if (!driver.ok()) return driver.status().WithContext("no simulated driver at " + socket);
  const std::string text = request.dump();
  if (Status sent = SendMessage(driver->get(), text.data(), text.size()); !sent.ok()) return sent;
  std::vector<char> buffer(kMaxControlMessageBytes);
  const Result<ReceivedMessage> answer =
      ReceiveMessage(driver->get(), buffer.data(), buffer.size());
  if (!answer.ok()) return answer.status();
  json parsed = json::parse(buffer.data(), buffer.data() + answer->bytes, nullptr, false);
  if (answer->end_of_stream || parsed.is_discarded()) {
    return Status(StatusCode::kUnavailable, "the driver closed the connection");
  }
  return parsed;
}

std::string Text(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void PrintState(const json& state) {
  ::printf("%s\n", Text(state["description"]).c_str());
  if (state["dcmi"] != json{{"hang", false}, {"code", 0}}) {
    ::printf("every DCMI call: %s\n", state["dcmi"].dump().c_str());
  }
  ::printf("%-7s %-8s %-9s %5s %6s %12s  %s\n", "device", "logical", "health", "temp", "util%",
           "memory MiB", "");
  for (const json& device : state["devices"]) {
    std::string notes;
    for (const json& fault : device["faults"]) {
      notes += Text(fault["code"]) + " (" + Text(fault["severity"]) + ") ";
    }
    if (!device["present"].get<bool>()) notes += "removed ";
    if (device["device_share"].get<bool>()) notes += "shared ";
    if (device["dcmi"] != json{{"hang", false}, {"code", 0}})
      notes += "dcmi " + device["dcmi"].dump();
    ::printf("%-7s %-8s %-9s %5s %6s %12llu  %s\n", Text(device["device"]).c_str(),
             device["logical_id"].is_null() ? "-" : Text(device["logical_id"]).c_str(),
             Text(device["health"]).c_str(), Text(device["temperature"]).c_str(),
             Text(device["utilization"]).c_str(),
             static_cast<unsigned long long>(device["memory_used"].get<uint64_t>() >> 20),
             notes.c_str());
  }
}

int Print(const json& answer, bool as_json) {
  const bool failed = answer.contains("error");
  if (as_json) {
    ::printf("%s\n", answer.dump(2).c_str());
  } else if (failed) {
    ::fprintf(stderr, "npu-sim-control: %s\n", Text(answer["error"]).c_str());
  } else if (answer.contains("devices")) {
    PrintState(answer);
  }
  return failed ? 1 : 0;
}

// The command line as the request that it stands for.
class CommandLine {
 public:
  CommandLine()
      : app_("Shows and changes the devices of a running npu-sim-driver.", "npu-sim-control") {
    app_.require_subcommand(1);
    app_.fallthrough();  // --socket and -o may follow the command
    app_.add_option("--socket", socket_, "The driver's control socket")->capture_default_str();
    app_.add_option("-o,--output", output_, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    Command("show", "Show every device and what is wrong with it");
    AddSet();
    for (const auto& [name, what] : {std::pair{"inject", "Raise a fault, until it is cleared"},
                                     std::pair{"report", "Report a fault that has no end"}}) {
      CLI::App* const command = Device(Command(name, what));
      Value<std::string>(command, "--code", "code", "the fault's code, like 0x80e18005")
          ->required();
      Value<std::string>(command, "--severity", "severity",
                         "notice, minor, major or critical (default)");
      Value<int>(command, "--node-type", "node_type", "DCMI's number of the faulty part's type");
      Value<std::string>(command, "--name", "name", "description");
    }
    CLI::App* const clear = Device(Command("clear", "Clear a fault, or all of a device"));
    Value<std::string>(clear, "--code", "code", "which; all of the device's where it is left out");
    Device(Command("remove", "Take a device away, as from its slot"));
    CLI::App* const restore = Device(Command("restore", "Bring a removed device back"));
    Value<int>(
        restore, "--logical-id", "logical_id",
        "as which; those from there on move up by one. Default: where its physical id belongs");
    CLI::App* const dcmi = Command("dcmi", "Have DCMI's calls hang or fail; of one device, or all");
    Value<int>(dcmi, "-d,--device", "device", "physical id; every call where it is left out");
    Value<int>(dcmi, "--hang", "hang", "1: calls do not return; 0: they do again");
    Value<int>(dcmi, "--code", "code", "what calls return, like -8012; 0: their own results");
  }

  int Run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error);
    }
    request_["command"] = app_.get_subcommands().front()->get_name();
    const Result<json> answer = Ask(socket_, request_);
    if (answer.ok()) return Print(*answer, output_ == "json");
    ::fprintf(stderr, "npu-sim-control: %s\n", answer.status().message().c_str());
    return 1;
  }

 private:
  CLI::App* Command(const std::string& name, const std::string& what) {
    return app_.add_subcommand(name, what);
  }
  template <class T>
  CLI::Option* Value(CLI::App* command, const std::string& flag, const std::string& key,
                     const std::string& what) {
    return command->add_option_function<T>(
        flag, [this, key](const T& value) { request_[key] = value; }, what);
  }
  CLI::App* Device(CLI::App* command) {
    Value<int>(command, "-d,--device", "device", "physical id")->required();
    return command;
  }
  void AddSet() {
    CLI::App* const set = Device(Command("set", "Set what DCMI says of a device"));
    Value<std::string>(set, "--health", "health",
                       "ok, minor, major, critical, absent, or auto: as its faults say");
    Value<int>(set, "--temperature", "temperature", "degrees Celsius");
    Value<int>(set, "--utilization", "utilization", "percent, of its cores");
    Value<int>(set, "--memory-bandwidth", "memory_bandwidth", "percent");
    Value<int64_t>(set, "--extra-memory", "extra_memory",
                   "bytes in use beside what processes have allocated");
  }

  CLI::App app_;
  std::string socket_ = DefaultSocket();
  std::string output_ = "text";
  json request_ = json::object();
};

}  // namespace
}  // namespace npu_ipc::sim

int main(int argc, char** argv) { return npu_ipc::sim::CommandLine().Run(argc, argv); }
