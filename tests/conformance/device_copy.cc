#include "tests/conformance/device_copy.h"

#include <numeric>
#include <vector>

namespace npu_ipc::conformance {
namespace {

// A block of the current device, freed at the end.
class StagingBlock {
 public:
  explicit StagingBlock(uint64_t bytes) {
    code_ = aclrtMalloc(&address_, bytes, ACL_MEM_MALLOC_HUGE_FIRST);
  }
  ~StagingBlock() {
    if (code_ == ACL_SUCCESS) aclrtFree(address_);
  }
  StagingBlock(const StagingBlock&) = delete;
  StagingBlock& operator=(const StagingBlock&) = delete;

  aclError code() const { return code_; }
  void* address() { return address_; }

 private:
  aclError code_;
  void* address_ = nullptr;
};

}  // namespace

aclError CopyAsync(void* to, const void* from, uint64_t bytes, aclrtMemcpyKind kind) {
  aclrtStream stream = nullptr;
  aclError code = aclrtCreateStream(&stream);
  if (code != ACL_SUCCESS) return code;
  code = aclrtMemcpyAsync(to, bytes, from, bytes, kind, stream);
  // What fails in the device shows here.
  if (code == ACL_SUCCESS) code = aclrtSynchronizeStream(stream);
  aclrtDestroyStream(stream);
  return code;
}

aclError WritePattern(void* address, uint64_t bytes, uint64_t first_word) {
  std::vector<uint64_t> words(bytes / sizeof(uint64_t));
  std::iota(words.begin(), words.end(), first_word);
  StagingBlock staging(bytes);
  if (staging.code() != ACL_SUCCESS) return staging.code();
  const aclError code =
      aclrtMemcpy(staging.address(), bytes, words.data(), bytes, ACL_MEMCPY_HOST_TO_DEVICE);
  if (code != ACL_SUCCESS) return code;
  return CopyAsync(address, staging.address(), bytes, ACL_MEMCPY_DEVICE_TO_DEVICE);
}

aclError ReadPattern(const void* address, uint64_t bytes, bool* is_pattern, uint64_t* first_word) {
  std::vector<uint64_t> words(bytes / sizeof(uint64_t));
  StagingBlock staging(bytes);
  if (staging.code() != ACL_SUCCESS) return staging.code();
  aclError code = CopyAsync(staging.address(), address, bytes, ACL_MEMCPY_DEVICE_TO_DEVICE);
  if (code != ACL_SUCCESS) return code;
  code = aclrtMemcpy(words.data(), bytes, staging.address(), bytes, ACL_MEMCPY_DEVICE_TO_HOST);
  if (code != ACL_SUCCESS) return code;
  std::vector<uint64_t> expected(words.size());
  std::iota(expected.begin(), expected.end(), words.front());
  *is_pattern = words == expected;
  *first_word = words.front();
  return ACL_SUCCESS;
}

}  // namespace npu_ipc::conformance
