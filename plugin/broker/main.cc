// npu-ipc-broker: knows which process is which pod's, and lets those of a group share NPU memory.
#include <spdlog/spdlog.h>
#include <stdio.h>

#include <string_view>

#include "plugin/admin/query.h"
#include "plugin/broker/broker.h"
#include "plugin/broker/settings.h"
#include "plugin/cluster/label_removal.h"
#include "plugin/config/logging.h"
#include "plugin/config/reload.h"

namespace {

constexpr int kExitUsage = 2;

int Fail(const npu_ipc::Status& status, int exit_code) {
  fprintf(stderr, "npu-ipc-broker: %s\n", status.message().c_str());
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "query") return npu_ipc::admin::RunQuery(argc - 1, argv + 1);
  if (command == "remove-node-labels") {
    return npu_ipc::cluster::RunRemoveNodeLabels(argc - 1, argv + 1);
  }
  npu_ipc::broker::Settings settings;
  npu_ipc::config::Options options = npu_ipc::broker::DeclareOptions(&settings);
  const auto start = npu_ipc::config::Start::Of(argc, argv);
  const auto parsed = npu_ipc::config::Parse(options, start);
  if (!parsed.ok()) return Fail(parsed.status(), kExitUsage);
  if (parsed->exit_now) {
    fputs(parsed->text.c_str(), stdout);
    return 0;
  }
  if (const npu_ipc::Status checked = npu_ipc::broker::Check(settings); !checked.ok()) {
    return Fail(checked, kExitUsage);
  }
  npu_ipc::config::StartLogging(settings.log, "npu-ipc-broker");
  const auto broker = npu_ipc::broker::Broker::Start(settings, start);
  if (!broker.ok()) {
    spdlog::error("cannot start: {}", broker.status().message());
    return 1;
  }
  (*broker)->Run();
  return 0;
}
