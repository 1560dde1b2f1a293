#include "runtime/example/step.h"

#include <stdio.h>

#include <iostream>

namespace example {

void Tell(const std::string& line) {
  std::cout << line << '\n' << std::flush;  // whoever drives us reads line by line
}

void NextStep(const Arguments& arguments) {
  std::string line;
  if (arguments.step_by_step && !std::getline(std::cin, line)) ::exit(0);
}

void Check(aclError error, const char* call) {
  if (error == ACL_SUCCESS) return;
  const char* why = aclGetRecentErrMsg();
  std::cerr << call << " failed with " << error << (why != nullptr ? ": " : "")
            << (why != nullptr ? why : "") << '\n';
  ::exit(1);
}

void Check(npu_ipc_status status, npu_ipc_client* client, const char* call) {
  if (status == NPU_IPC_OK) return;
  char detail[512] = "";
  if (client != nullptr) npu_ipc_last_error(client, detail, sizeof(detail));
  std::cerr << call << ": " << npu_ipc_status_name(status) << ": "
            << (detail[0] != '\0' ? detail : npu_ipc_status_string(status)) << '\n';
  ::exit(1);
}

void FillPattern(std::vector<uint64_t>& piece, uint64_t seed, size_t offset_bytes, size_t bytes) {
  const size_t first = offset_bytes / sizeof(uint64_t);
  for (size_t i = 0; i < bytes / sizeof(uint64_t); ++i) piece[i] = PatternWord(seed, first + i);
}

void CheckPattern(const std::vector<uint64_t>& piece, uint64_t seed, size_t offset_bytes,
                  size_t bytes) {
  const size_t first = offset_bytes / sizeof(uint64_t);
  for (size_t i = 0; i < bytes / sizeof(uint64_t); ++i) {
    if (piece[i] == PatternWord(seed, first + i)) continue;
    std::cerr << "the byte at offset " << offset_bytes + i * sizeof(uint64_t)
              << " is not what was written there" << '\n';
    ::exit(1);
  }
}

npu_ipc_client* OpenAndIntroduce() {
  npu_ipc_client* client = nullptr;
  const npu_ipc_status opened = npu_ipc_open(nullptr, &client);
  Check(opened, client, "npu_ipc_open");

  npu_ipc_identity who = {};
  who.struct_bytes = sizeof(who);
  Check(npu_ipc_whoami(client, &who), client, "npu_ipc_whoami");
  Tell("identified pid=" + std::to_string(who.pid) + " host_pid=" + std::to_string(who.host_pid) +
       " pod=" + who.pod_namespace + "/" + who.pod_name + " groups=" + who.groups);
  return client;
}

}  // namespace example
