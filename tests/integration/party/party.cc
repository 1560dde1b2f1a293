#include "tests/integration/party/party.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <sstream>

#include "hal/base/unix_socket.h"
#include "runtime/protocol/wire.h"

namespace npu_ipc::party {
namespace {

uint32_t Number(const std::string& text) {
  return static_cast<uint32_t>(::strtoul(text.c_str(), nullptr, 10));
}

const char* EventName(npu_ipc_event_type type) {
  switch (type) {
    case NPU_IPC_EVENT_WITHDRAWING:
      return "withdrawing";
    case NPU_IPC_EVENT_EXPORTER_GONE:
      return "exporter-gone";
    case NPU_IPC_EVENT_REVOKED:
      return "revoked";
    case NPU_IPC_EVENT_REGION_LOST:
      return "region-lost";
    case NPU_IPC_EVENT_DISCONNECTED:
      return "disconnected";
    case NPU_IPC_EVENT_ROTATED:
      return "rotated";
    case NPU_IPC_EVENT_RECONNECTED:
      return "reconnected";
    case NPU_IPC_EVENT_SUBSCRIPTION:
      return "subscription";
  }
  return "unknown";
}

const char* StateName(npu_ipc_mapping_state state) {
  switch (state) {
    case NPU_IPC_MAPPING_LIVE:
      return "live";
    case NPU_IPC_MAPPING_WITHDRAWING:
      return "withdrawing";
    case NPU_IPC_MAPPING_EXPORTER_GONE:
      return "exporter-gone";
    case NPU_IPC_MAPPING_REVOKED:
      return "revoked";
    case NPU_IPC_MAPPING_ROTATED:
      return "rotated";
  }
  return "unknown";
}

template <class T>
std::string NameOf(const std::map<std::string, T*>& named, const T* object) {
  for (const auto& [name, known] : named) {
    if (known == object) return name;
  }
  return "-";
}

}  // namespace

std::string Ok(const std::vector<std::pair<std::string, std::string>>& values) {
  std::string line = "ok";
  for (const auto& [key, value] : values) line += " " + key + "=" + value;
  return line;
}

const std::vector<Party::Entry>& Party::Commands() {
  static const auto* const commands = new std::vector<Entry>{
      {"open [SOCKET]", &Party::Open},
      {"whoami", &Party::WhoAmI},
      {"publish BLOCK [GROUP]", &Party::Publish},
      {"withdraw REGION DRAIN_MS [force]", &Party::Withdraw},
      {"attach REGION WAIT_MS [GROUP]", &Party::Attach},
      {"region REGION", &Party::RegionInfo},
      {"info NAME", &Party::Info},
      {"detach REGION", &Party::Detach},
      {"event WAIT_MS", &Party::NextEvent},
      {"close", &Party::Close},
      {"in-child COMMAND [WORD] [WORD] [WORD]", &Party::InChild},
      {"send-bytes TEXT", &Party::SendBytes},
      {"device USER_ID", &Party::Device},
      {"new-context USER_ID", &Party::NewContext},
      {"destroy-context", &Party::DestroyContext},
      {"reset-device USER_ID", &Party::ResetDevice},
      {"finalize", &Party::Finalize},
      {"malloc BLOCK BYTES", &Party::Malloc},
      {"free BLOCK", &Party::Free},
      {"write NAME FIRST_WORD", &Party::Write},
      {"read NAME", &Party::Read},
      {"copy FROM TO", &Party::Copy},
      {"peer-status USER_ID PHYSICAL_ID", &Party::PeerStatus},
      {"import-key KEY", &Party::ImportKey},
  };
  return *commands;
}

std::string Party::Do(const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  for (const Entry& entry : Commands()) {
    const std::string usage = entry.usage;
    if (words.empty() || words[0] != usage.substr(0, usage.find(' '))) continue;
    const auto most = std::count(usage.begin(), usage.end(), ' ');
    const auto optional = std::count(usage.begin(), usage.end(), '[');
    const auto given = static_cast<ptrdiff_t>(words.size()) - 1;
    if (given > most || given < most - optional) return "error USAGE " + usage;
    return (this->*entry.command)(words);
  }
  return "error USAGE no such command: " + line;
}

std::string Party::Failed(npu_ipc_status status) const {
  char reason[512] = "";
  if (client_ != nullptr) npu_ipc_last_error(client_, reason, sizeof(reason));
  return std::string("error ") + npu_ipc_status_name(status) + " " + reason;
}

std::string Party::Open(const Words& words) {
  npu_ipc_open_options options = {};
  options.struct_bytes = sizeof(options);
  options.socket_path = words.size() > 1 ? words[1].c_str() : nullptr;
  options.timeout_ms = 20000;
  const npu_ipc_status status = npu_ipc_open(&options, &client_);
  return status == NPU_IPC_OK ? Ok() : Failed(status);
}

std::string Party::WhoAmI(const Words&) {
  npu_ipc_identity who = {};
  who.struct_bytes = sizeof(who);
  const npu_ipc_status status = npu_ipc_whoami(client_, &who);
  if (status != NPU_IPC_OK) return Failed(status);
  return Ok({{"pid", std::to_string(who.pid)},
             {"host_pid", std::to_string(who.host_pid)},
             {"pod", std::string(who.pod_namespace) + "/" + who.pod_name},
             {"uid", who.pod_uid},
             {"container", who.container_id},
             {"groups", who.groups}});
}

std::string Party::Publish(const Words& words) {
  const Block block = Memory(words[1]);
  npu_ipc_publish_options options = {};
  options.struct_bytes = sizeof(options);
  options.group = words.size() > 2 ? words[2].c_str() : nullptr;
  npu_ipc_region* region = nullptr;
  const npu_ipc_status status =
      npu_ipc_publish(client_, words[1].c_str(), block.address, block.bytes, &options, &region);
  if (status != NPU_IPC_OK) return Failed(status);
  regions_[words[1]] = region;
  return RegionInfo(words);
}

std::string Party::RegionInfo(const Words& words) {
  npu_ipc_region_info info = {};
  info.struct_bytes = sizeof(info);
  const npu_ipc_status status = npu_ipc_region_get_info(regions_[words[1]], &info);
  if (status != NPU_IPC_OK) return Failed(status);
  return Ok({{"generation", std::to_string(info.generation)},
             {"device", std::to_string(info.device)},
             {"withdrawn", info.withdrawn != 0 ? "yes" : "no"}});
}

std::string Party::Withdraw(const Words& words) {
  const npu_ipc_status status =
      npu_ipc_withdraw(regions_[words[1]], Number(words[2]), words.size() > 3 ? 1 : 0);
  if (status != NPU_IPC_OK) return Failed(status);
  regions_.erase(words[1]);
  return Ok();
}

std::string Party::Attach(const Words& words) {
  npu_ipc_attach_options options = {};
  options.struct_bytes = sizeof(options);
  options.wait_ms = Number(words[2]);
  options.group = words.size() > 3 ? words[3].c_str() : nullptr;
  npu_ipc_mapping* mapping = nullptr;
  const npu_ipc_status status = npu_ipc_attach(client_, words[1].c_str(), &options, &mapping);
  if (status != NPU_IPC_OK) return Failed(status);
  mappings_[words[1]] = mapping;
  return Info({"info", words[1]});
}

std::string Party::Info(const Words& words) {
  npu_ipc_mapping_info info = {};
  info.struct_bytes = sizeof(info);
  const npu_ipc_status status = npu_ipc_mapping_get_info(mappings_[words[1]], &info);
  if (status != NPU_IPC_OK) return Failed(status);
  return Ok({{"state", StateName(info.state)},
             {"bytes", std::to_string(info.bytes)},
             {"generation", std::to_string(info.generation)},
             {"device", std::to_string(info.device)},
             {"exporter_device", std::to_string(info.exporter_device)},
             {"exporter_host_pid", std::to_string(info.exporter_host_pid)},
             {"exporter", std::string(info.exporter_namespace) + "/" + info.exporter_pod},
             {"exporter_uid", info.exporter_pod_uid}});
}

std::string Party::Detach(const Words& words) {
  const npu_ipc_status status = npu_ipc_detach(mappings_[words[1]]);
  if (status != NPU_IPC_OK) return Failed(status);
  mappings_.erase(words[1]);
  return Ok();
}

std::string Party::NextEvent(const Words& words) {
  npu_ipc_event event = {};
  event.struct_bytes = sizeof(event);
  const npu_ipc_status status = npu_ipc_next_event(client_, Number(words[1]), &event);
  if (status != NPU_IPC_OK) return Failed(status);
  std::string name = "-";
  if (event.mapping != nullptr) name = NameOf(mappings_, event.mapping);
  if (event.region != nullptr) name = NameOf(regions_, event.region);
  return Ok({{"event", EventName(event.type)}, {"name", name}});
}

std::string Party::Close(const Words&) {
  npu_ipc_close(client_);
  client_ = nullptr;
  regions_.clear();
  mappings_.clear();
  return Ok();
}

// A forked child does the rest of the line with what it inherited, and answers it.
std::string Party::InChild(const Words& words) {
  std::string line;
  for (auto word = words.begin() + 1; word != words.end(); ++word) line += *word + " ";
  const pid_t child = ::fork();
  if (child == 0) {
    std::cout << Do(line) << std::endl;
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : "error CHILD it did not end well";
}

// Sends what is no message to the broker, and tells how the broker ends the connection.
std::string Party::SendBytes(const Words& words) {
  const char* const path = ::getenv(wire::kSocketPathVariable);
  const Result<UniqueFd> socket = ConnectUnix(path != nullptr ? path : wire::kDefaultSocketPath);
  if (!socket.ok()) return "error CONNECT " + socket.status().message();
  if (::write(socket->get(), words[1].data(), words[1].size()) < 0) return "error WRITE";
  wire::Refused refused = {};
  const ssize_t first = ::read(socket->get(), &refused, sizeof(refused));
  const bool told = first == sizeof(refused) && refused.header.type == wire::MessageType::kRefused;
  char more = 0;
  const bool closed = ::read(socket->get(), &more, sizeof(more)) <= 0;
  return Ok({{"status", told ? std::to_string(static_cast<int>(refused.status)) : "none"},
             {"closed", closed ? "yes" : "no"}});
}

}  // namespace npu_ipc::party
