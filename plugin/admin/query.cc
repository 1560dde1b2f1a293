#include "plugin/admin/query.h"

#include <stdio.h>
#include <stdlib.h>

#include <iostream>
#include <utility>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "plugin/admin/client.h"
#include "plugin/admin/server.h"

namespace npu_ipc::admin {
namespace {

using Json = nlohmann::json;

constexpr int kExitUsage = 2;
// That pages add to.
constexpr const char* kLists[] = {"items", "looseMappings"};

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Json> AskForDocument(
    const Request& request,
    const std::function<Result<std::string>(const std::string& request)>& ask) {
  const Result<std::string> answer = ask(FormatRequest(request));
  if (!answer.ok()) return answer.status();
  Json document = Json::parse(*answer, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return Status(StatusCode::kInternal, "the broker's answer is no JSON object");
  }
  if (document.value("kind", "") == "Failure") {
    return Status(StatusCode::kFailedPrecondition, document.value("message", "no reason given"));
  }
  return document;
}

std::string ContinueOf(const Json& document) {
  const auto metadata = document.find("metadata");
  return metadata != document.end() && metadata->is_object() ? metadata->value("continue", "")
                                                             : std::string();
}

// The document without its lists and its end, for those to follow.
void PrintHead(Json document, std::ostream& out) {
  for (const char* const list : kLists) document.erase(list);
  document.erase("metadata");
  std::string head = Dump(document);
  head.pop_back();
  out << head;
}

void PrintItems(const Json& list, bool* first, std::ostream& out) {
  for (const Json& item : list) {
    out << (std::exchange(*first, false) ? "\n" : ",\n") << Dump(item);
  }
}

}  // namespace

Status PrintAnswer(Request request,
                   const std::function<Result<std::string>(const std::string& request)>& ask,
                   std::ostream& out) {
  Result<Json> page = AskForDocument(request, ask);
  if (!page.ok()) return page.status();
  PrintHead(*page, out);
  // Lists other than the first are short: they wait for the last page.
  Json others = Json::object();
  bool first = true;
  const bool has_items = page->contains("items");
  if (has_items) out << ",\"items\":[";
  for (;;) {
    for (const char* const list : kLists) {
      const auto found = page->find(list);
      if (found == page->end() || !found->is_array()) continue;
      if (std::string_view(list) == "items") {
        PrintItems(*found, &first, out);
      } else {
        Json& other = others[list];
        if (other.is_null()) other = Json::array();
        other.insert(other.end(), found->begin(), found->end());
      }
    }
    request.from = ContinueOf(*page);
    if (request.from.empty()) break;
    page = AskForDocument(request, ask);
    if (!page.ok()) return page.status();
  }
  if (has_items) out << "]";
  for (const auto& [name, list] : others.items()) out << ",\"" << name << "\":" << Dump(list);
  out << "}\n" << std::flush;
  return out ? Status::Ok() : Status(StatusCode::kUnavailable, "cannot write the answer");
}

int RunQuery(int argc, const char* const* argv) {
  CLI::App app("Asks the broker that runs on this node, and prints its answer as JSON.",
               "npu-ipc-broker query");
  const char* const variable = ::getenv("NPU_IPC_BROKER_ADMIN_SOCKET");
  std::string socket = variable != nullptr && *variable != '\0' ? variable : kDefaultSocket;
  std::string topic;
  std::string pod;
  app.add_option("topic", topic, TopicNames())->required();
  app.add_option("pod", pod, "namespace/name: of doctor; none: the node alone");
  app.add_option("--socket", socket, "the broker's admin.socket")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  Json wanted = {{"topic", topic}};
  if (!pod.empty()) wanted["pod"] = pod;
  const Result<Request> request = ParseRequest(Dump(wanted));
  if (!request.ok()) {
    fprintf(stderr, "npu-ipc-broker query: %s\n", request.status().message().c_str());
    return kExitUsage;
  }
  const Status printed = PrintAnswer(
      *request, [&](const std::string& asked) { return Ask(socket, asked); }, std::cout);
  if (printed.ok()) return 0;
  fprintf(stderr, "npu-ipc-broker query: %s\n", printed.message().c_str());
  return 1;
}

}  // namespace npu_ipc::admin
