#include "tests/unit/runtime/fake_vendor.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>

#include "hal/acl/acl_ipc.h"

namespace npu_ipc::test {
namespace {

thread_local void* thread_context = nullptr;

}  // namespace

void SetThreadContext(void* context) { thread_context = context; }

FakeVendor& FakeVendor::Get() {
  static FakeVendor* const vendor = new FakeVendor();
  return *vendor;
}

void FakeVendor::Reset() {
  std::lock_guard<std::mutex> lock(mutex);
  failures.clear();
  calls.clear();
  exports.clear();
  imports.clear();
  whitelists.clear();
  enabled_peers.clear();
  last_whitelisting_context = nullptr;
  block_whitelisting = false;
  whitelisting_blocked = false;
  blocked_call.clear();
  blocked = false;
  SetThreadContext(kContext);
}

void FakeVendor::Fail(const std::string& call, int code) {
  std::lock_guard<std::mutex> lock(mutex);
  failures[call] = code;
}

int FakeVendor::Calls(const std::string& call) {
  std::lock_guard<std::mutex> lock(mutex);
  return calls[call];
}

std::map<std::string, void*> FakeVendor::exported() {
  std::lock_guard<std::mutex> lock(mutex);
  return exports;
}

std::map<std::string, int> FakeVendor::imported() {
  std::lock_guard<std::mutex> lock(mutex);
  return imports;
}

std::vector<int32_t> FakeVendor::whitelisted(const std::string& key) {
  std::lock_guard<std::mutex> lock(mutex);
  return whitelists[key];
}

std::vector<std::string> FakeVendor::peers() {
  std::lock_guard<std::mutex> lock(mutex);
  return enabled_peers;
}

void* FakeVendor::whitelisting_context() {
  std::lock_guard<std::mutex> lock(mutex);
  return last_whitelisting_context;
}

sigset_t FakeVendor::whitelisting_signal_mask() {
  std::lock_guard<std::mutex> lock(mutex);
  return last_whitelisting_signal_mask;
}

void FakeVendor::BlockWhitelisting() {
  std::lock_guard<std::mutex> lock(mutex);
  block_whitelisting = true;
}

void FakeVendor::WaitUntilWhitelistingBlocks() {
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [this] { return whitelisting_blocked; });
}

void FakeVendor::UnblockWhitelisting() {
  std::lock_guard<std::mutex> lock(mutex);
  block_whitelisting = false;
  changed.notify_all();
}

void FakeVendor::Block(const std::string& call) {
  std::lock_guard<std::mutex> lock(mutex);
  blocked_call = call;
}

void FakeVendor::WaitUntilBlocked() {
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [this] { return blocked; });
}

void FakeVendor::Unblock() {
  std::lock_guard<std::mutex> lock(mutex);
  blocked_call.clear();
  changed.notify_all();
}

void FakeVendor::Linger(const std::string& call, std::unique_lock<std::mutex>* lock) {
  if (blocked_call != call) return;
  blocked = true;
  changed.notify_all();
  changed.wait(*lock, [this, &call] { return blocked_call != call; });
  blocked = false;
}

int FakeVendor::Enter(const std::string& call) {
  ++calls[call];
  const auto failure = failures.find(call);
  return failure == failures.end() ? 0 : failure->second;
}

namespace {

std::string PeerPair(uint32_t own, uint32_t peer) {
  return std::to_string(own) + ">" + std::to_string(peer);
}

}  // namespace
}  // namespace npu_ipc::test

using npu_ipc::hal::acl::kContextNull;
using npu_ipc::test::FakeVendor;

extern "C" {
#pragma GCC visibility push(default)

int aclrtGetCurrentContext(void** context) {
  FakeVendor& vendor = FakeVendor::Get();
  std::lock_guard<std::mutex> lock(vendor.mutex);
  if (const int code = vendor.Enter("aclrtGetCurrentContext"); code != 0) return code;
  *context = npu_ipc::test::thread_context;
  return *context == nullptr ? kContextNull : 0;
}

int aclrtSetCurrentContext(void* context) {
  FakeVendor& vendor = FakeVendor::Get();
  std::lock_guard<std::mutex> lock(vendor.mutex);
  if (const int code = vendor.Enter("aclrtSetCurrentContext"); code != 0) return code;
  npu_ipc::test::thread_context = context;
  return 0;
}

int aclrtGetDevice(int32_t* device) {
  FakeVendor& vendor = FakeVendor::Get();
  std::lock_guard<std::mutex> lock(vendor.mutex);
  if (const int code = vendor.Enter("aclrtGetDevice"); code != 0) return code;
  *device = 0;
  return 0;
}

int rtGetDevicePhyIdByIndex(uint32_t index, uint32_t* physical) {
  FakeVendor& vendor = FakeVendor::Get();
  std::lock_guard<std::mutex> lock(vendor.mutex);
  if (const int code = vendor.Enter("rtGetDevicePhyIdByIndex"); code != 0) return code;
  *physical = index + npu_ipc::test::kOwnPhysicalDevice;
  return 0;
}

int aclrtDeviceGetBareTgid(int32_t* pid) {
  *pid = -1;  // acl: "success", and no pid, where the driver does not answer
  return 0;
}

int aclrtIpcMemGetExportKey(void* pointer, size_t, char* key, size_t key_bytes, uint64_t flags) {
  FakeVendor& vendor = FakeVendor::Get();
  std::unique_lock<std::mutex> lock(vendor.mutex);
  vendor.Linger("aclrtIpcMemGetExportKey", &lock);
  if (const int code = vendor.Enter("aclrtIpcMemGetExportKey"); code != 0) return code;
  if (npu_ipc::test::thread_context == nullptr) return kContextNull;
  if (key_bytes != 65 || flags != 0) return 107000;
  snprintf(key, key_bytes, "%064d", vendor.next_key++);
  vendor.exports[key] = pointer;
  return 0;
}

int aclrtIpcMemSetImportPid(const char* key, int32_t* pids, size_t count) {
  FakeVendor& vendor = FakeVendor::Get();
  std::unique_lock<std::mutex> lock(vendor.mutex);
  vendor.whitelisting_blocked = vendor.block_whitelisting;
  vendor.changed.notify_all();
  vendor.changed.wait(lock, [&vendor] { return !vendor.block_whitelisting; });
  if (const int code = vendor.Enter("aclrtIpcMemSetImportPid"); code != 0) return code;
  vendor.last_whitelisting_context = npu_ipc::test::thread_context;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &vendor.last_whitelisting_signal_mask);
  if (npu_ipc::test::thread_context == nullptr) return kContextNull;
  if (vendor.exports.count(key) == 0) return 507899;
  vendor.whitelists[key].insert(vendor.whitelists[key].end(), pids, pids + count);
  return 0;
}

int aclrtIpcMemImportByKey(void** pointer, const char* key, uint64_t flags) {
  FakeVendor& vendor = FakeVendor::Get();
  std::unique_lock<std::mutex> lock(vendor.mutex);
  vendor.Linger("aclrtIpcMemImportByKey", &lock);
  if (const int code = vendor.Enter("aclrtIpcMemImportByKey"); code != 0) return code;
  if (flags != 0) return 107000;
  ++vendor.imports[key];
  *pointer = npu_ipc::test::kImportBase;
  return 0;
}

int aclrtIpcMemClose(const char* key) {
  FakeVendor& vendor = FakeVendor::Get();
  std::lock_guard<std::mutex> lock(vendor.mutex);
  if (const int code = vendor.Enter("aclrtIpcMemClose"); code != 0) return code;
  if (npu_ipc::test::thread_context == nullptr) return kContextNull;
  if (const auto import = vendor.imports.find(key); import != vendor.imports.end()) {
    if (--import->second == 0) vendor.imports.erase(import);
    return 0;
  }
  return vendor.exports.erase(key) == 1 ? 0 : 507899;
}

int rtEnableP2P(uint32_t own, uint32_t peer, uint32_t) {
  FakeVendor& vendor = FakeVendor::Get();
  std::lock_guard<std::mutex> lock(vendor.mutex);
  if (const int code = vendor.Enter("rtEnableP2P"); code != 0) return code;
  vendor.enabled_peers.push_back(npu_ipc::test::PeerPair(own, peer));
  return 0;
}

int rtDisableP2P(uint32_t own, uint32_t peer) {
  FakeVendor& vendor = FakeVendor::Get();
  std::lock_guard<std::mutex> lock(vendor.mutex);
  if (const int code = vendor.Enter("rtDisableP2P"); code != 0) return code;
  auto& peers = vendor.enabled_peers;
  const auto found = std::find(peers.begin(), peers.end(), npu_ipc::test::PeerPair(own, peer));
  if (found == peers.end()) return 107000;
  peers.erase(found);
  return 0;
}

#pragma GCC visibility pop
}
