// Device and host memory, copies and fills, within one process.
#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "acl/acl.h"
#include "tests/unit/hal/acl_sim/simulated_node.h"

namespace npu_ipc::sim {
namespace {

constexpr size_t kBytes = 1 << 16;

class MemoryTest : public ::testing::Test {
 protected:
  SimulatedDriver driver_;
};

uintptr_t Address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

// The signal that touching `pointer` ends a process with; 0 when it does not.
int SignalOfTouching(volatile char* pointer) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGSEGV, SIG_DFL);  // not a sanitizer's report
    ::_exit(*pointer == 0 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST_F(MemoryTest, ADevicePointerIsNoHostMemory) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* pointer = nullptr;
    ASSERT_EQ(aclrtMalloc(&pointer, kBytes, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
    ASSERT_EQ(aclrtMemset(pointer, kBytes, 1, kBytes), ACL_SUCCESS);
    EXPECT_EQ(SignalOfTouching(static_cast<char*>(pointer)), SIGSEGV);
  });
}

TEST_F(MemoryTest, PoliciesChooseThePages) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
    const struct {
      aclrtMemMallocPolicy policy;
      size_t bytes;
      uint32_t page_bytes;
    } cases[] = {
        {ACL_MEM_MALLOC_NORMAL_ONLY, 8 << 20, 4 << 10},
        {ACL_MEM_MALLOC_HUGE_ONLY, 1, 2 << 20},
        {ACL_MEM_MALLOC_HUGE_FIRST, 1 << 20, 4 << 10},
        {ACL_MEM_MALLOC_HUGE_FIRST, (1 << 20) + 1, 2 << 20},
        {ACL_MEM_MALLOC_HUGE_FIRST_P2P, 2 << 20, 2 << 20},
        {ACL_MEM_MALLOC_HUGE1G_ONLY, 1, 1 << 30},
    };
    for (const auto& each : cases) {
      void* pointer = nullptr;
      ASSERT_EQ(aclrtMalloc(&pointer, each.bytes, each.policy), ACL_SUCCESS);
      EXPECT_EQ(Address(pointer) % each.page_bytes, 0U);
      aclrtPtrAttributes attributes = {};
      ASSERT_EQ(aclrtPointerGetAttributes(pointer, &attributes), ACL_SUCCESS);
      EXPECT_EQ(attributes.location.type, ACL_MEM_LOCATION_TYPE_DEVICE);
      EXPECT_EQ(attributes.location.id, 1U);
      EXPECT_EQ(attributes.pageSize, each.page_bytes);
      EXPECT_EQ(aclrtFree(pointer), ACL_SUCCESS);
    }
    void* pointer = nullptr;
    EXPECT_EQ(aclrtMalloc(&pointer, 1, static_cast<aclrtMemMallocPolicy>(77)),
              ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(aclrtMalloc(&pointer, 0, ACL_MEM_MALLOC_HUGE_FIRST), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtMalloc(nullptr, 1, ACL_MEM_MALLOC_HUGE_FIRST), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtMalloc(&pointer, size_t{1} << 50, ACL_MEM_MALLOC_HUGE_FIRST),
              ACL_ERROR_RT_MEMORY_ALLOCATION);
    EXPECT_EQ(aclrtMalloc(&pointer, SIZE_MAX, ACL_MEM_MALLOC_HUGE_FIRST),
              ACL_ERROR_RT_PARAM_INVALID);
  });
}

TEST_F(MemoryTest, IsFreedOnce) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* pointer = nullptr;
    ASSERT_EQ(aclrtMalloc(&pointer, kBytes, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
    EXPECT_NE(aclrtFree(static_cast<char*>(pointer) + 1), ACL_SUCCESS);
    EXPECT_EQ(aclrtFree(pointer), ACL_SUCCESS);
    EXPECT_EQ(aclrtFree(pointer), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(aclrtFree(nullptr), ACL_ERROR_INVALID_PARAM);
    char host = 0;
    EXPECT_EQ(aclrtFree(&host), ACL_ERROR_RT_PARAM_INVALID);
  });
}

TEST_F(MemoryTest, CopiesGoEveryWayThatTheirKindSays) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* one = nullptr;
    void* two = nullptr;
    ASSERT_EQ(aclrtMalloc(&one, kBytes, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
    ASSERT_EQ(aclrtMalloc(&two, kBytes, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
    std::vector<uint8_t> in(kBytes);
    for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint8_t>(i * 7);
    std::vector<uint8_t> out(kBytes);
    const auto copy = [](void* to, const void* from, aclrtMemcpyKind kind) {
      return aclrtMemcpy(to, kBytes, from, kBytes, kind);
    };
    EXPECT_EQ(copy(one, in.data(), ACL_MEMCPY_HOST_TO_DEVICE), ACL_SUCCESS);
    EXPECT_EQ(copy(two, one, ACL_MEMCPY_DEVICE_TO_DEVICE), ACL_SUCCESS);
    EXPECT_EQ(copy(out.data(), two, ACL_MEMCPY_DEVICE_TO_HOST), ACL_SUCCESS);
    EXPECT_EQ(out, in);
    EXPECT_EQ(aclrtMemset(out.data(), kBytes, 0, kBytes), ACL_SUCCESS)
        << "host memory is filled too";
    EXPECT_EQ(out, std::vector<uint8_t>(kBytes, 0));
    EXPECT_EQ(copy(out.data(), two, ACL_MEMCPY_DEFAULT), ACL_SUCCESS);
    EXPECT_EQ(out, in);
    EXPECT_EQ(copy(out.data(), in.data(), ACL_MEMCPY_HOST_TO_HOST), ACL_SUCCESS);

    EXPECT_EQ(copy(one, in.data(), ACL_MEMCPY_DEVICE_TO_DEVICE), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(copy(out.data(), one, ACL_MEMCPY_HOST_TO_HOST), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(copy(one, two, ACL_MEMCPY_HOST_TO_DEVICE), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(copy(one, two, static_cast<aclrtMemcpyKind>(42)), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(copy(nullptr, two, ACL_MEMCPY_DEVICE_TO_HOST), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtMemcpy(one, kBytes - 1, in.data(), kBytes, ACL_MEMCPY_HOST_TO_DEVICE),
              ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_NE(copy(static_cast<char*>(one) + 1, in.data(), ACL_MEMCPY_HOST_TO_DEVICE), ACL_SUCCESS)
        << "beyond the end";
    EXPECT_NE(aclrtMemset(static_cast<char*>(one) + 1, kBytes, 0, kBytes), ACL_SUCCESS);
  });
}

TEST_F(MemoryTest, HostMemoryIsKnownForWhatItIs) {
  InFreshProcess([] {
    void* host = nullptr;
    ASSERT_EQ(aclrtMallocHost(&host, kBytes), ACL_SUCCESS);
    memset(host, 5, kBytes);
    aclrtPtrAttributes attributes = {};
    EXPECT_EQ(aclrtPointerGetAttributes(static_cast<char*>(host) + 9, &attributes), ACL_SUCCESS);
    EXPECT_EQ(attributes.location.type, ACL_MEM_LOCATION_TYPE_HOST);
    EXPECT_EQ(aclrtPointerGetAttributes(&attributes, &attributes), ACL_SUCCESS);
    EXPECT_EQ(attributes.location.type, ACL_MEM_LOCATION_TYPE_UNREGISTERED);
    EXPECT_EQ(aclrtFreeHost(host), ACL_SUCCESS);
    EXPECT_NE(aclrtFreeHost(host), ACL_SUCCESS);

    std::vector<uint8_t> own(kBytes, 3);
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* mapped = nullptr;
    ASSERT_EQ(aclrtHostRegister(own.data(), kBytes, ACL_HOST_REGISTER_MAPPED, &mapped),
              ACL_SUCCESS);
    EXPECT_NE(mapped, own.data());
    ASSERT_EQ(aclrtMemset(mapped, kBytes, 8, kBytes), ACL_SUCCESS);
    EXPECT_EQ(own, std::vector<uint8_t>(kBytes, 8));
    EXPECT_EQ(aclrtHostRegister(own.data(), kBytes, ACL_HOST_REGISTER_MAPPED, &mapped),
              ACL_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    EXPECT_EQ(aclrtHostUnregister(own.data()), ACL_SUCCESS);
    EXPECT_EQ(aclrtHostUnregister(own.data()), ACL_ERROR_HOST_MEMORY_NOT_REGISTERED);
  });
}

}  // namespace
}  // namespace npu_ipc::sim
