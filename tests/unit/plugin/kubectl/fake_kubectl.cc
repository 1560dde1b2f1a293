#include "tests/unit/plugin/kubectl/fake_kubectl.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "plugin/kubectl/run.h"

namespace npu_ipc::kubectl {
namespace {

// $d is its directory; what runs is a file of d/running.
constexpr char kProgram[] = R"(#!/bin/sh
d=${0%/*}
echo "$*" >> $d/calls
: > $d/running/$$
trap 'rm -f $d/running/$$' EXIT
set -- $d/running/* -- "$@"
n=0
while [ "$1" != -- ]; do
  ! kill -0 ${1##*/} 2>/dev/null || n=$((n + 1))  # who was killed leaves his file
  shift
done
shift
echo $n >> $d/counts
for on in $d/on/*.sh; do
  [ -f "$on" ] || continue
  read -r words < "$on.words"
  case "$*" in *"$words"*) . "$on"; exit;; esac
done
case "$*" in
  *"config view"*) printf team; exit;;
  *"get pods -o json"*) cat $d/pods.json; exit;;
esac
while [ "$1" != exec ]; do
  [ $# -gt 0 ] || { echo "fake kubectl: unknown call" >&2; exit 9; }
  shift
done
node=$3 topic=$8
[ -f $d/script/$node ] && { . $d/script/$node; exit; }
[ -f $d/answer/$topic ] || { echo "error: no answer to $topic" >&2; exit 1; }
while IFS= read -r line; do
  case $line in *@NODE@*) line="${line%%@NODE@*}$node${line#*@NODE@}";; esac
  printf '%s\n' "$line"
done < $d/answer/$topic
)";

}  // namespace

FakeKubectlTest::FakeKubectlTest() {
  for (const char* const part : {"running", "answer", "script", "on"}) {
    std::filesystem::create_directory(directory_.Path(part));
  }
  Write("kubectl", kProgram);
  ::chmod(directory_.Path("kubectl").c_str(), 0755);
  Write("pods.json", pods_.dump());
  ::setenv("KUBECTL", directory_.Path("kubectl").c_str(), 1);
}

FakeKubectlTest::~FakeKubectlTest() { ::unsetenv("KUBECTL"); }

void FakeKubectlTest::Write(const std::string& name, const std::string& text) {
  std::ofstream(directory_.Path(name)) << text;
}

std::string FakeKubectlTest::Read(const std::string& name) const {
  std::ifstream file(directory_.Path(name));
  return {std::istreambuf_iterator<char>(file), {}};
}

void FakeKubectlTest::AddNode(const std::string& node, bool ready) {
  pods_["items"].push_back(
      {{"metadata", {{"namespace", "npu-system"}, {"name", node}}},
       {"spec",
        {{"nodeName", node},
         {"containers",
          {{{"name", "npu-ipc-broker"}, {"ports", {{{"name", "http"}, {"containerPort", 9500}}}}},
           {{"name", "npu-device-plugin"}}}}}},
       {"status",
        {{"phase", "Running"},
         {"containerStatuses",
          {{{"name", "npu-ipc-broker"},
            {"ready", ready},
            {"state", {{"running", nlohmann::json::object()}}}}}}}}});
  Write("pods.json", pods_.dump());
}

void FakeKubectlTest::Answer(const std::string& topic, const std::string& document) {
  Write("answer/" + topic, document + "\n");
}

void FakeKubectlTest::Script(const std::string& node, const std::string& commands) {
  Write("script/" + node, commands + "\n");
}

void FakeKubectlTest::OnCall(const std::string& words, const std::string& commands) {
  const std::string name = "on/" + std::to_string(calls_known_++) + ".sh";
  Write(name, commands + "\n");
  Write(name + ".words", words + "\n");
}

Ran FakeKubectlTest::Npu(const std::vector<std::string>& arguments) {
  std::ostringstream out;
  std::ostringstream error;
  Ran ran;
  ran.exit_code = kubectl::Run(arguments, {out, error});
  ran.output = out.str();
  ran.error = error.str();
  return ran;
}

std::vector<std::string> FakeKubectlTest::Calls() const {
  std::vector<std::string> calls;
  std::istringstream lines(Read("calls"));
  for (std::string line; std::getline(lines, line);) calls.push_back(line);
  return calls;
}

int FakeKubectlTest::MostAtOnce() const {
  int most = 0;
  std::istringstream counts(Read("counts"));
  for (int count = 0; counts >> count;) most = std::max(most, count);
  return most;
}

}  // namespace npu_ipc::kubectl
