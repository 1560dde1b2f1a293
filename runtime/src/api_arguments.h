// What every exported function does with its arguments, and owes its host.
#pragma once

#include <string.h>

#include "runtime/include/npu_ipc.h"
#include "runtime/protocol/wire.h"
#include "runtime/src/client.h"
#include "runtime/src/errno_keeper.h"
#include "runtime/src/text.h"

namespace npu_ipc::runtime {

inline Client* FromHandle(npu_ipc_client* client) { return reinterpret_cast<Client*>(client); }
inline Region* FromHandle(npu_ipc_region* region) { return reinterpret_cast<Region*>(region); }
inline Mapping* FromHandle(npu_ipc_mapping* mapping) { return reinterpret_cast<Mapping*>(mapping); }
inline Subscription* FromHandle(npu_ipc_subscription* subscription) {
  return reinterpret_cast<Subscription*>(subscription);
}

// The caller's options as this version knows them: what an older caller's lack is zero.
template <class T>
bool ReadOptions(const T* given, T* options) {
  if (given == nullptr) return true;
  if (given->struct_bytes < sizeof(given->struct_bytes)) return false;
  memcpy(options, given, given->struct_bytes < sizeof(T) ? given->struct_bytes : sizeof(T));
  return true;
}

// Writes as much of `result` as the caller's struct has room for.
template <class T>
npu_ipc_status WriteResult(T result, T* out) {
  result.struct_bytes = out->struct_bytes;
  memcpy(out, &result, out->struct_bytes < sizeof(T) ? out->struct_bytes : sizeof(T));
  return NPU_IPC_OK;
}

template <class T>
bool ValidResult(const T* out) {
  return out != nullptr && out->struct_bytes >= sizeof(out->struct_bytes);
}

inline bool ValidName(const char* name) {
  if (name == nullptr) return false;
  const size_t length = ::strnlen(name, wire::kNameBytes);
  return length > 0 && length < wire::kNameBytes;
}

inline bool ValidGroup(const char* group) { return group == nullptr || ValidName(group); }

inline npu_ipc_status Invalid(Client* client, const char* error) {
  return client->Fail(NPU_IPC_INVALID_ARGUMENT, Text(error));
}

inline constexpr char kBadName[] = "a name or a group is empty, or longer than 127 bytes";
inline constexpr char kBadStruct[] = "struct_bytes is not set: give it sizeof the struct";

}  // namespace npu_ipc::runtime
