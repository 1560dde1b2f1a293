#include "tests/unit/runtime/fake_runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <utility>

#include "tests/unit/runtime/fake_vendor.h"

namespace npu_ipc::test {

FakeRuntime& FakeRuntime::Get() {
  static FakeRuntime* const runtime = new FakeRuntime();
  return *runtime;
}

void FakeRuntime::Reset() {
  const std::lock_guard lock(mutex_);
  calls_.clear();
  failures_.clear();
  bare_tgid_ = -1;
}

std::vector<RuntimeCall> FakeRuntime::Calls() {
  const std::lock_guard lock(mutex_);
  return calls_;
}

void FakeRuntime::Fail(const std::string& function, int code) {
  const std::lock_guard lock(mutex_);
  failures_[function] = code;
}

void FakeRuntime::SetBareTgid(int32_t pid) {
  const std::lock_guard lock(mutex_);
  bare_tgid_ = pid;
}

int FakeRuntime::Note(RuntimeCall call) {
  const std::lock_guard lock(mutex_);
  const auto failure = failures_.find(call.function);
  const int code = failure == failures_.end() ? 0 : failure->second;
  calls_.push_back(std::move(call));
  errno = kErrno;
  return code;
}

std::string FakeRuntime::NextKey() {
  const std::lock_guard lock(mutex_);
  char key[65] = "";
  snprintf(key, sizeof(key), "%064d", ++keys_);
  return key;
}

int32_t FakeRuntime::bare_tgid() {
  const std::lock_guard lock(mutex_);
  return bare_tgid_;
}

}  // namespace npu_ipc::test

using npu_ipc::test::FakeRuntime;

extern "C" {

int FakeGetExportKey(const void*, size_t, char* key, uint32_t bytes, uint64_t flags) {
  FakeRuntime& runtime = FakeRuntime::Get();
  const std::string made = runtime.NextKey();
  snprintf(key, bytes, "%s", made.c_str());
  return runtime.Note({"rtsIpcMemGetExportKey", made, flags, {}});
}

int FakeSetImportPid(const char* key, int32_t* pids, int count) {
  return FakeRuntime::Get().Note({"rtsIpcMemSetImportPid", key, 0, {pids, pids + count}});
}

int FakeImportByKey(void** pointer, const char* key, uint64_t flags) {
  *pointer = npu_ipc::test::kImportBase;
  return FakeRuntime::Get().Note({"rtsIpcMemImportByKey", key, flags, {}});
}

int FakeClose(const char* key) { return FakeRuntime::Get().Note({"rtsIpcMemClose", key, 0, {}}); }

int FakeDeviceGetBareTgid(uint32_t* pid) {
  FakeRuntime& runtime = FakeRuntime::Get();
  *pid = static_cast<uint32_t>(runtime.bare_tgid());
  return runtime.Note({"rtDeviceGetBareTgid", "", 0, {}});
}

}  // extern "C"
