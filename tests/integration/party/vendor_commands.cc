// Party: what the program does with AscendCL itself.
#include <stdlib.h>

#include <algorithm>

#include "runtime/rt_external_device.h"
#include "tests/conformance/device_copy.h"
#include "tests/integration/party/party.h"

namespace npu_ipc::party {
namespace {

uint64_t Number(const std::string& text) { return ::strtoull(text.c_str(), nullptr, 10); }

}  // namespace

std::string Party::Failed(aclError error) {
  const char* const said = aclGetRecentErrMsg();
  std::string reason = said != nullptr ? said : "";
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  return "error " + std::to_string(error) + " " + reason;
}

Party::Block Party::Memory(const std::string& name) {
  const auto mapping = mappings_.find(name);
  if (mapping == mappings_.end()) return blocks_[name];
  npu_ipc_mapping_info info = {};
  info.struct_bytes = sizeof(info);
  npu_ipc_mapping_get_info(mapping->second, &info);
  return {info.dev_ptr, info.bytes};
}

std::string Party::Device(const Words& words) {
  aclInit(nullptr);  // a second time does no harm
  const aclError error = aclrtSetDevice(static_cast<int32_t>(Number(words[1])));
  if (error != ACL_SUCCESS) return Failed(error);
  uint32_t count = 0;
  aclrtGetDeviceCount(&count);
  return Ok({{"count", std::to_string(count)}});
}

std::string Party::NewContext(const Words& words) {
  const aclError error = aclrtCreateContext(&context_, static_cast<int32_t>(Number(words[1])));
  return error == ACL_SUCCESS ? Ok() : Failed(error);
}

std::string Party::DestroyContext(const Words&) {
  const aclError error = aclrtDestroyContext(context_);
  return error == ACL_SUCCESS ? Ok() : Failed(error);
}

std::string Party::ResetDevice(const Words& words) {
  const aclError error = aclrtResetDevice(static_cast<int32_t>(Number(words[1])));
  return error == ACL_SUCCESS ? Ok() : Failed(error);
}

std::string Party::Finalize(const Words&) {
  const aclError error = aclFinalize();
  return error == ACL_SUCCESS ? Ok() : Failed(error);
}

std::string Party::Malloc(const Words& words) {
  Block block;
  block.bytes = Number(words[2]);
  const aclError error = aclrtMalloc(&block.address, block.bytes, ACL_MEM_MALLOC_HUGE_FIRST);
  if (error != ACL_SUCCESS) return Failed(error);
  blocks_[words[1]] = block;
  return Ok();
}

std::string Party::Free(const Words& words) {
  const aclError error = aclrtFree(blocks_[words[1]].address);
  if (error != ACL_SUCCESS) return Failed(error);
  blocks_.erase(words[1]);
  return Ok();
}

std::string Party::Write(const Words& words) {
  const Block memory = Memory(words[1]);
  const aclError error = conformance::WritePattern(memory.address, memory.bytes, Number(words[2]));
  return error == ACL_SUCCESS ? Ok() : Failed(error);
}

std::string Party::Read(const Words& words) {
  const Block memory = Memory(words[1]);
  bool whole = false;
  uint64_t first_word = 0;
  const aclError error =
      conformance::ReadPattern(memory.address, memory.bytes, &whole, &first_word);
  if (error != ACL_SUCCESS) return Failed(error);
  return Ok({{"first_word", std::to_string(first_word)}, {"whole", whole ? "yes" : "no"}});
}

std::string Party::Copy(const Words& words) {
  const Block from = Memory(words[1]), to = Memory(words[2]);
  const aclError error = conformance::CopyAsync(
      to.address, from.address, std::min(from.bytes, to.bytes), ACL_MEMCPY_DEVICE_TO_DEVICE);
  return error == ACL_SUCCESS ? Ok() : Failed(error);
}

std::string Party::PeerStatus(const Words& words) {
  uint32_t status = 0;
  const rtError_t error = rtGetP2PStatus(static_cast<uint32_t>(Number(words[1])),
                                         static_cast<uint32_t>(Number(words[2])), &status);
  if (error != 0) return Failed(static_cast<aclError>(error));
  return Ok({{"enabled", std::to_string(status)}});
}

// Past the library: what a program that got hold of a key would try.
std::string Party::ImportKey(const Words& words) {
  void* address = nullptr;
  const aclError error =
      aclrtIpcMemImportByKey(&address, words[1].c_str(), ACL_RT_IPC_MEM_IMPORT_FLAG_DEFAULT);
  return error == ACL_SUCCESS ? Ok() : Failed(error);
}

}  // namespace npu_ipc::party
