#include "plugin/kubectl/run.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "plugin/admin/schema.h"
#include "plugin/kubectl/bundle.h"
#include "plugin/kubectl/completion.h"
#include "plugin/kubectl/doctor.h"
#include "plugin/kubectl/fields.h"
#include "plugin/kubectl/fleet.h"
#include "plugin/kubectl/options.h"
#include "plugin/kubectl/output.h"
#include "plugin/kubectl/views.h"

namespace npu_ipc::kubectl {
namespace {

using Json = nlohmann::json;

int Fail(const Console& console, const std::string& message) {
  console.error << "error: " << message << "\n";
  return 1;
}

bool IsDocument(Format format) { return format == Format::kJson || format == Format::kYaml; }

Json List(const char* kind, Json items) {
  return {{"apiVersion", admin::kApiVersion}, {"kind", kind}, {"items", std::move(items)}};
}

// One command that shows a list, once or again and again.
class Lister {
 public:
  Lister(const Fleet& fleet, const View& view, const Console& console)
      : fleet_(fleet),
        view_(view),
        console_(console),
        watcher_({fleet.options().format == Format::kWide, !fleet.options().no_headers},
                 console.out) {}

  int Run() {
    if (view_.concerns != nullptr && !fleet_.options().all_namespaces) {
      Result<std::string> name = fleet_.Namespace();
      if (!name.ok()) return Fail(console_, name.status().message());
      namespace_ = *name;
    }
    int exit_code = ShowOnce();
    while (fleet_.options().watch && console_.out) {
      std::this_thread::sleep_for(fleet_.options().interval);
      exit_code = ShowOnce();
    }
    return exit_code;
  }

 private:
  int ShowOnce() {
    const Result<std::vector<DaemonPod>> daemons = fleet_.FindDaemons();
    if (!daemons.ok()) return Fail(console_, daemons.status().message());
    Json items = Json::array();
    size_t answered = 0;
    std::vector<DaemonPod> left = *daemons;
    for (const std::string& topic : view_.topics) {
      answered = 0;
      std::vector<DaemonPod> next;
      for (const NodeAnswer& answer : fleet_.Ask(left, {topic})) {
        if (!answer.problem.empty()) {
          console_.error << "error: node " << answer.daemon.node << ": " << answer.problem << "\n";
          continue;
        }
        ++answered;
        next.push_back(answer.daemon);
        view_.collect(answer.document, &items);
      }
      left = std::move(next);  // who has said why is not asked again
    }
    if (answered == 0) return 1;
    Show(std::move(items));
    return exit_code_;
  }

  void Show(Json items) {
    if (namespace_) {
      Json concerned = Json::array();
      for (Json& item : items) {
        if (view_.concerns(item, *namespace_)) concerned.push_back(std::move(item));
      }
      items = std::move(concerned);
    }
    const bool critical = std::any_of(items.begin(), items.end(), [](const Json& item) {
      return Text(item, "severity") == "Critical";
    });
    if (critical) exit_code_ = 1;
    if (IsDocument(fleet_.options().format)) {
      PrintDocument(List(view_.kind, std::move(items)), fleet_.options().format, console_.out);
    } else if (!items.empty()) {
      watcher_.Print(view_.table(items));
    } else if (!fleet_.options().watch) {
      console_.error << "No resources found"
                     << (namespace_ ? " in " + *namespace_ + " namespace." : "") << "\n";
    }
  }

  const Fleet& fleet_;
  const View& view_;
  const Console& console_;
  TableWatcher watcher_;
  std::optional<std::string> namespace_;  // empty: all
  int exit_code_ = 0;
};

int RunDoctor(const Fleet& fleet, const Console& console) {
  std::vector<Diagnosis> diagnoses;
  if (fleet.options().arguments.empty()) {
    Result<std::vector<Diagnosis>> of_nodes = DiagnoseNodes(fleet);
    if (!of_nodes.ok()) return Fail(console, of_nodes.status().message());
    diagnoses = std::move(*of_nodes);
  } else {
    Result<Diagnosis> of_pod = DiagnosePod(fleet, fleet.options().arguments[0]);
    if (!of_pod.ok()) return Fail(console, of_pod.status().message());
    diagnoses.push_back(std::move(*of_pod));
  }
  Json items = Json::array();
  int exit_code = 0;
  for (const Diagnosis& diagnosis : diagnoses) {
    if (diagnosis.Stop() != nullptr) exit_code = 1;
    if (IsDocument(fleet.options().format)) {
      items.push_back(ToJson(diagnosis));
    } else {
      PrintDiagnosis(diagnosis, console.out);
    }
  }
  if (IsDocument(fleet.options().format)) {
    PrintDocument(List("DiagnosisList", std::move(items)), fleet.options().format, console.out);
  }
  return exit_code;
}

int RunVersion(const Fleet& fleet, const Console& console) {
  if (!IsDocument(fleet.options().format)) {
    console.out << "kubectl-npu " << NPU_IPC_VERSION << "\n";
  }
  return Lister(fleet, *FindView("version"), console).Run();
}

// Last word of "pod/name": one a line.
std::vector<std::string> ListNames(const Options& options, const std::vector<std::string>& get) {
  const Result<std::string> text = Fleet(options).CallForText(get);
  std::vector<std::string> names;
  std::istringstream lines(text.ok() ? *text : std::string());
  for (std::string line; std::getline(lines, line);) {
    const size_t slash = line.find('/');
    names.push_back(slash == std::string::npos ? line : line.substr(slash + 1));
  }
  return names;
}

int RunCompletion(const std::vector<std::string>& words, const Console& console) {
  // What is written so far may be no whole command line: then for the context as it is.
  const Result<Options> parsed =
      ParseOptions({words.begin(), words.end() - (words.empty() ? 0 : 1)});
  Options options = parsed.ok() ? *parsed : Options{};
  options.timeout = std::chrono::seconds(3);
  const auto list_pods = [&] {
    std::vector<std::string> get = {"get", "pods", "-o", "name"};
    if (!options.pod_namespace.empty()) get.push_back("--namespace=" + options.pod_namespace);
    return ListNames(options, get);
  };
  const auto list_nodes = [&] { return ListNames(options, {"get", "nodes", "-o", "name"}); };
  console.out << FormatCompletion(Complete(words, list_pods, list_nodes));
  return 0;
}

}  // namespace

int Run(const std::vector<std::string>& arguments, const Console& console) {
  if (!arguments.empty() && arguments[0] == "__complete") {
    return RunCompletion({arguments.begin() + 1, arguments.end()}, console);
  }
  const Result<Options> options = ParseOptions(arguments);
  if (!options.ok()) {
    return Fail(console, options.status().message() + "\nSee 'kubectl npu --help' for usage.");
  }
  if (options->command == "help") {
    console.out << options->text;
    return 0;
  }
  if (options->command == "completion") {
    const Result<std::string> script =
        CompletionScript(options->arguments.empty() ? "" : options->arguments[0]);
    if (!script.ok()) return Fail(console, script.status().message());
    console.out << *script;
    return 0;
  }
  const Fleet fleet(*options);
  if (options->command == "doctor") return RunDoctor(fleet, console);
  if (options->command == "version") return RunVersion(fleet, console);
  if (options->command == "bundle") {
    const Status written = WriteBundle(fleet, options->file, console.out);
    return written.ok() ? 0 : Fail(console, written.message());
  }
  return Lister(fleet, *FindView(options->command), console).Run();
}

}  // namespace npu_ipc::kubectl
