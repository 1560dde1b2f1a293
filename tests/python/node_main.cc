// npu-ipc-test-node: a simulated node with the real daemons, and pods on it, for tests that are not
// written in C++. Reads a JSON object a line, answers each with one; ends with its input. Needs
// root. conftest.py speaks to it:
//
//   {"do": "run", "name": N, "annotations": {...}, "device": 0, "arguments": [...],
//    "environment": {...}}         a container of a new pod team-a/N, with the node's device;
//                                  {"host_pid": ...}
//   {"do": "tell", "name": N, "line": ...}    to its standard input
//   {"do": "hear", "name": N}                 {"line": ...} of its standard output
//   {"do": "wait", "name": N}                 {"code": ...} when it has ended
//   {"do": "kill", "name": N}                 ends it, and the pod
//   {"do": "errors", "name": N}               {"text": ...} of its standard error
//   {"do": "annotate", "name": N, "annotations": {...}}
//   {"do": "stop broker"}, {"do": "start broker"}
//   {"do": "log", "daemon": "broker"}         {"text": ...}
//
// What goes wrong is {"error": "..."}.
#include <signal.h>

#include <iostream>
#include <map>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "hal/base/process.h"
#include "tests/fixtures/node_box.h"
#include "tests/fixtures/test_node.h"

namespace npu_ipc {
namespace {

using nlohmann::json;

json Failure(const Status& status) { return {{"error", status.message()}}; }

json Done(const Status& status) { return status.ok() ? json::object() : Failure(status); }

struct RunningPod {
  PodRecord record;
  std::unique_ptr<Container> container;
};

// Used by one thread.
class Server {
 public:
  explicit Server(TestNode& node) : node_(node) {}

  json Do(const json& command) {
    const std::string what = command.at("do");
    if (what == "run") return Run(command);
    if (what == "stop broker") return StopBroker();
    if (what == "start broker") return Done(node_.StartBroker());
    if (what == "log") return {{"text", node_.Log(command.at("daemon"))}};
    const auto found = pods_.find(command.at("name"));
    if (found == pods_.end()) return {{"error", "no such pod: " + command.dump()}};
    return Do(what, command, found->second);
  }

 private:
  json Run(const json& command) {
    const std::string name = command.at("name");
    const Result<json> devices = node_.Devices();
    if (!devices.ok()) return Failure(devices.status());
    const std::string device = devices->at("devices").at(command.at("device").get<int>()).at("id");
    const Result<json> allocation = node_.Allocate({device});
    if (!allocation.ok()) return Failure(allocation.status());
    RunningPod& pod = pods_[name];
    pod.record = {"team-a", name, RandomUid(), command.at("annotations")};
    if (Status told = TellBroker(); !told.ok()) return Failure(told);
    Result<std::unique_ptr<Container>> container =
        node_.Run(pod.record, *allocation, command.at("arguments"), command.at("environment"));
    if (!container.ok()) return Failure(container.status());
    pod.container = std::move(*container);
    return {{"host_pid", pod.container->host_pid()}};
  }

  json Do(const std::string& what, const json& command, RunningPod& pod) {
    if (what == "tell") return Done(pod.container->process().WriteLine(command.at("line")));
    if (what == "hear") {
      const Result<std::string> line = pod.container->process().ReadLine();
      return line.ok() ? json{{"line", *line}} : Failure(line.status());
    }
    if (what == "wait") {
      const Result<int> code = pod.container->process().Wait();
      return code.ok() ? json{{"code", *code}} : Failure(code.status());
    }
    if (what == "errors") {
      const Result<std::string> text = ReadFile(pod.container->error_file());
      return text.ok() ? json{{"text", *text}} : Failure(text.status());
    }
    if (what == "annotate") {
      pod.record.annotations = command.at("annotations");
      return Done(TellBroker());
    }
    if (what == "kill") {
      pods_.erase(command.at("name"));
      return Done(TellBroker());
    }
    return {{"error", "no such command: " + what}};
  }

  json StopBroker() {
    node_.broker().Signal(SIGTERM);
    const Result<int> code = node_.broker().Wait();
    return code.ok() ? json{{"code", *code}} : Failure(code.status());
  }

  Status TellBroker() {
    std::vector<PodRecord> records;
    for (const auto& [name, pod] : pods_) records.push_back(pod.record);
    return node_.SetPods(records);
  }

  TestNode& node_;
  std::map<std::string, RunningPod> pods_;
};

int Serve(const std::string& cgroup) {
  TestNode::Options options;
  options.cgroup = cgroup;
  const Result<std::unique_ptr<TestNode>> node = TestNode::Start(std::move(options));
  if (!node.ok()) {
    std::cout << Failure(node.status()).dump() << std::endl;
    return 1;
  }
  std::cout << json{{"ready", true}}.dump() << std::endl;
  Server server(**node);
  for (std::string line; std::getline(std::cin, line);) {
    json answer;
    try {
      answer = server.Do(json::parse(line));
    } catch (const json::exception& error) {
      answer = {{"error", std::string(error.what()) + ": " + line}};
    }
    std::cout << answer.dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace npu_ipc

int main() { return npu_ipc::RunInNodeBoxWithCgroup(npu_ipc::Serve); }
