// Each list command: from the brokers' documents to items and to a table.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "plugin/kubectl/table.h"

namespace npu_ipc::kubectl {

// A command that shows a list. `items` is what -o json prints, gathered from one document of each
// node and each topic; each item has the node.
struct View {
  std::vector<std::string> topics;  // that brokers are asked for
  const char* kind;                 // of what -o json prints
  // Adds the items of one document to a list.
  void (*collect)(const nlohmann::json& document, nlohmann::json* items);
  // Whether an item concerns the namespace; null: the command is of no namespace.
  bool (*concerns)(const nlohmann::json& item, const std::string& pod_namespace);
  Table (*table)(const nlohmann::json& items);
};

// nullptr: no such command.
const View* FindView(const std::string& command);

}  // namespace npu_ipc::kubectl
