// The vendor's libruntime as the preload library finds it behind itself (next_entries.cc): notes
// what it was asked, and answers as a test says.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <mutex>
#include <ostream>
#include <string>
#include <vector>

namespace npu_ipc::test {

struct RuntimeCall {
  std::string function;
  std::string key;  // that was given, or made
  uint64_t flags = 0;
  std::vector<int32_t> pids;

  friend bool operator==(const RuntimeCall&, const RuntimeCall&) = default;
  friend std::ostream& operator<<(std::ostream& out, const RuntimeCall& call) {
    return out << call.function << "(" << call.key << ", " << call.flags << ", " << call.pids.size()
               << " pids)";
  }
};

class FakeRuntime {
 public:
  // What each call leaves in errno.
  static constexpr int kErrno = 77;

  static FakeRuntime& Get();
  void Reset();

  std::vector<RuntimeCall> Calls();
  // What the function returns from now on; 0 unless set.
  void Fail(const std::string& function, int code);
  // What rtDeviceGetBareTgid says; -1 unless set, as where the driver does not answer.
  void SetBareTgid(int32_t pid);

  // Implementation of the functions.
  int Note(RuntimeCall call);
  std::string NextKey();
  int32_t bare_tgid();

 private:
  std::mutex mutex_;
  std::vector<RuntimeCall> calls_;
  std::map<std::string, int> failures_;
  int32_t bare_tgid_ = -1;
  int keys_ = 0;
};

}  // namespace npu_ipc::test

extern "C" {
#pragma GCC visibility push(default)
int FakeGetExportKey(const void* pointer, size_t bytes, char* key, uint32_t key_bytes,
                     uint64_t flags);
int FakeSetImportPid(const char* key, int32_t* pids, int count);
int FakeImportByKey(void** pointer, const char* key, uint64_t flags);
int FakeClose(const char* key);
int FakeDeviceGetBareTgid(uint32_t* pid);
#pragma GCC visibility pop
}
