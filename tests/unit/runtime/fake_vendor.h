// AscendCL as these tests load it: functions of this program, found as a real library's are, that
// keep account of what they were asked and fail where a test says so.
#pragma once

#include <signal.h>
#include <stdint.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace npu_ipc::test {

class FakeVendor {
 public:
  static FakeVendor& Get();
  // Forgets everything; the calling thread gets a context on user device 0, physical device 6.
  void Reset();

  // What calls return, by name; 0 unless set.
  void Fail(const std::string& call, int code);
  // How often a call was made, whatever it returned.
  int Calls(const std::string& call);
  // Keys that are exported and not closed / imports that are not closed, by key.
  std::map<std::string, void*> exported();
  std::map<std::string, int> imported();
  std::vector<int32_t> whitelisted(const std::string& key);
  // "own>peer", one entry for each enable that was not undone.
  std::vector<std::string> peers();
  // The context of the last SetImportPid's thread, and the signals that it blocked.
  void* whitelisting_context();
  sigset_t whitelisting_signal_mask();

  // SetImportPid blocks from now on, until Unblock.
  void BlockWhitelisting();
  void WaitUntilWhitelistingBlocks();
  void UnblockWhitelisting();

  // The same for aclrtIpcMemGetExportKey and aclrtIpcMemImportByKey.
  void Block(const std::string& call);
  void WaitUntilBlocked();
  void Unblock();

  // Implementation of the vendor's functions.
  int Enter(const std::string& call);
  void Linger(const std::string& call, std::unique_lock<std::mutex>* lock);
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, int> failures;
  std::map<std::string, int> calls;
  std::map<std::string, void*> exports;
  std::map<std::string, int> imports;
  std::map<std::string, std::vector<int32_t>> whitelists;
  std::vector<std::string> enabled_peers;
  void* last_whitelisting_context = nullptr;
  sigset_t last_whitelisting_signal_mask = {};
  int next_key = 1;
  bool block_whitelisting = false;
  bool whitelisting_blocked = false;
  std::string blocked_call;
  bool blocked = false;
};

// The calling thread's context; null: it has none.
void SetThreadContext(void* context);
void* const kContext = reinterpret_cast<void*>(0xC0117E87);
// Where imports of the fake vendor appear.
char* const kImportBase = reinterpret_cast<char*>(0x120000000000);

constexpr uint32_t kOwnPhysicalDevice = 6;

}  // namespace npu_ipc::test
