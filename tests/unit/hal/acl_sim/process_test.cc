// The libraries as a part of a process: start and end, errors, forks, a driver that is gone, and
// what is not built.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <string.h>
#include <unistd.h>

#include <thread>

#include "acl/acl.h"
#include "runtime/rt.h"
#include "tests/unit/hal/acl_sim/simulated_node.h"

namespace npu_ipc::sim {
namespace {

class ProcessTest : public ::testing::Test {
 protected:
  SimulatedDriver driver_;
};

TEST_F(ProcessTest, InitAndFinalizeCount) {
  InFreshProcess([] {
    EXPECT_EQ(aclFinalize(), ACL_ERROR_UNINITIALIZE);
    EXPECT_EQ(aclInit(nullptr), ACL_SUCCESS);
    EXPECT_EQ(aclInit(nullptr), ACL_ERROR_REPEAT_INITIALIZE);
    EXPECT_EQ(aclFinalize(), ACL_SUCCESS);
    EXPECT_EQ(aclFinalize(), ACL_SUCCESS);
    EXPECT_EQ(aclFinalize(), ACL_ERROR_REPEAT_FINALIZE);
    EXPECT_EQ(aclInit(nullptr), ACL_SUCCESS);
  });
}

TEST_F(ProcessTest, TheLastErrorIsTheThreads) {
  InFreshProcess([] {
    // What the test before left to this thread.
    aclrtGetLastError(ACL_RT_THREAD_LEVEL);
    aclGetRecentErrMsg();
    std::thread([] {
      EXPECT_EQ(aclGetRecentErrMsg(), nullptr);
      EXPECT_EQ(aclrtSetDevice(100), ACL_ERROR_RT_INVALID_DEVICEID);
      EXPECT_EQ(aclrtPeekAtLastError(ACL_RT_THREAD_LEVEL), ACL_ERROR_RT_INVALID_DEVICEID);
      EXPECT_EQ(aclrtGetLastError(ACL_RT_THREAD_LEVEL), ACL_ERROR_RT_INVALID_DEVICEID);
      EXPECT_EQ(aclrtGetLastError(ACL_RT_THREAD_LEVEL), ACL_SUCCESS);
      const char* const message = aclGetRecentErrMsg();
      ASSERT_NE(message, nullptr);
      EXPECT_NE(::strstr(message, "107001"), nullptr) << message;
      EXPECT_NE(::strstr(message, "100"), nullptr) << message;
      EXPECT_EQ(aclGetRecentErrMsg(), nullptr);
      EXPECT_EQ(aclrtSetDevice(100), ACL_ERROR_RT_INVALID_DEVICEID);
    }).join();
    EXPECT_EQ(aclrtPeekAtLastError(ACL_RT_THREAD_LEVEL), ACL_SUCCESS);
    EXPECT_EQ(aclGetRecentErrMsg(), nullptr);
  });
}

TEST_F(ProcessTest, AForkedChildStartsFromNothing) {
  InFreshProcess([] {
    ASSERT_EQ(aclInit(nullptr), ACL_SUCCESS);
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    aclrtContext context = nullptr;
    ASSERT_EQ(aclrtGetCurrentContext(&context), ACL_SUCCESS);
    aclrtStream stream = nullptr;
    ASSERT_EQ(aclrtCreateStream(&stream), ACL_SUCCESS);
    void* pointer = nullptr;
    ASSERT_EQ(aclrtMalloc(&pointer, 4096, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
    char key[65] = {};
    ASSERT_EQ(aclrtIpcMemGetExportKey(pointer, 4096, key, sizeof(key), 0), ACL_SUCCESS);
    const int32_t parent = ::getpid();
    InFreshProcess([&] {
      int32_t value = 0;
      EXPECT_EQ(aclrtGetDevice(&value), ACL_ERROR_RT_CONTEXT_NULL);
      EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_ERROR_RT_CONTEXT_NULL);
      EXPECT_EQ(aclrtFree(pointer), ACL_ERROR_RT_CONTEXT_NULL);
      EXPECT_EQ(aclrtIpcMemClose(key), ACL_ERROR_RT_CONTEXT_NULL);
      EXPECT_NE(aclrtSetCurrentContext(context), ACL_SUCCESS);
      EXPECT_EQ(aclFinalize(), ACL_ERROR_UNINITIALIZE);
      EXPECT_EQ(aclrtDeviceGetBareTgid(&value), ACL_SUCCESS);
      EXPECT_EQ(value, ::getpid());
      EXPECT_NE(value, parent);
      ASSERT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
      EXPECT_NE(aclrtFree(pointer), ACL_SUCCESS);
      EXPECT_NE(aclrtIpcMemClose(key), ACL_SUCCESS) << "its parent's key";
      EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_ERROR_RT_INVALID_HANDLE);
      EXPECT_EQ(aclrtMalloc(&pointer, 4096, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
      EXPECT_EQ(aclrtMemset(pointer, 4096, 1, 4096), ACL_SUCCESS);
    });
    int32_t device = -1;
    EXPECT_EQ(aclrtGetDevice(&device), ACL_SUCCESS);
    EXPECT_EQ(aclrtMemset(pointer, 4096, 1, 4096), ACL_SUCCESS);
    EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_SUCCESS);
    EXPECT_EQ(aclrtIpcMemClose(key), ACL_SUCCESS);
  });
}

TEST_F(ProcessTest, ADriverThatIsGoneIsAFailureThatSaysSo) {
  Peer user([](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* pointer = nullptr;
    ASSERT_EQ(aclrtMalloc(&pointer, 4096, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
    SendLine(output, "ready");
    EXPECT_EQ(ReceiveLine(input), "killed");
    void* second = nullptr;
    EXPECT_EQ(aclrtMalloc(&second, 4096, ACL_MEM_MALLOC_HUGE_FIRST),
              ACL_ERROR_RT_DRV_INTERNAL_ERROR);
    const char* const message = aclGetRecentErrMsg();
    ASSERT_NE(message, nullptr);
    EXPECT_NE(::strstr(message, "driver"), nullptr) << message;
    int32_t pid = 0;
    EXPECT_EQ(aclrtDeviceGetBareTgid(&pid), ACL_SUCCESS) << "as the vendor's does";
    EXPECT_EQ(pid, -1);
    EXPECT_EQ(aclrtMemset(pointer, 4096, 1, 4096), ACL_SUCCESS) << "what is mapped stays mapped";
    EXPECT_EQ(aclrtFree(pointer), ACL_SUCCESS);
    EXPECT_EQ(aclrtResetDevice(0), ACL_SUCCESS);
  });
  EXPECT_EQ(user.Receive(), "ready");
  driver_.Kill();
  user.Send("killed");
  EXPECT_EQ(user.Finish(), 0);
  InFreshProcess([] {
    uint32_t count = 0;
    EXPECT_EQ(aclrtGetDeviceCount(&count), ACL_ERROR_RT_DRV_INTERNAL_ERROR);
    EXPECT_EQ(aclrtSetDevice(0), ACL_ERROR_RT_DRV_INTERNAL_ERROR);
    EXPECT_EQ(aclrtGetSocName(), nullptr);
  });
}

TEST_F(ProcessTest, ADriverThatWasStartedAnewServesWhoSetsItsDeviceAgain) {
  Peer user([](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    SendLine(output, "ready");
    const std::string key = ReceiveLine(input);
    EXPECT_EQ(aclrtResetDevice(0), ACL_SUCCESS);
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* imported = nullptr;
    ASSERT_EQ(aclrtIpcMemImportByKey(&imported, key.c_str(), 0), ACL_SUCCESS);
    char byte = 0;
    EXPECT_EQ(aclrtMemcpy(&byte, 1, imported, 1, ACL_MEMCPY_DEVICE_TO_HOST), ACL_SUCCESS);
    EXPECT_EQ(byte, 7);
  });
  EXPECT_EQ(user.Receive(), "ready");
  driver_.Kill();
  const SimulatedDriver restarted;
  Peer exporter([](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* pointer = nullptr;
    ASSERT_EQ(aclrtMalloc(&pointer, 4096, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
    ASSERT_EQ(aclrtMemset(pointer, 4096, 7, 4096), ACL_SUCCESS);
    char key[65] = {};
    ASSERT_EQ(aclrtIpcMemGetExportKey(pointer, 4096, key, sizeof(key),
                                      ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION),
              ACL_SUCCESS);
    SendLine(output, key);
    ReceiveLine(input);
  });
  user.Send(exporter.Receive());
  EXPECT_EQ(user.Finish(), 0);
  exporter.Send("done");
  EXPECT_EQ(exporter.Finish(), 0);
}

// Declared and exported, and honest about it.
TEST(NotBuiltTest, EachFunctionSaysThatItIsNot) {
  const char* const functions[] = {
      "aclrtGetErrorVerbose",
      "aclrtRepairError",
      "aclsysGetVersionNum",
      "aclrtDeviceGetUuid",
      "aclrtDeviceTaskAbort",
      "aclrtGetDeviceResLimit",
      "aclrtGetSysParamOpt",
      "aclrtResetDeviceResLimit",
      "aclrtSetDeviceResLimit",
      "aclrtSetSysParamOpt",
      "aclrtCtxSetSysParamOpt",
      "aclrtMemP2PMap",
      "aclrtGetMemUceInfo",
      "aclrtGetMemUsageInfo",
      "aclrtMallocForTaskScheduler",
      "aclrtMemUceRepair",
      "aclrtMemcpyAsyncWithOffset",
      "aclrtMemcpyBatch",
      "aclrtMemcpyBatchAsync",
      "aclrtIpcMemImportPidInterServer",
      "aclrtIpcMemSetAttr",
      "aclrtFreePhysical",
      "aclrtMallocPhysical",
      "aclrtMapMem",
      "aclrtMemExportToShareableHandle",
      "aclrtMemExportToShareableHandleV2",
      "aclrtMemGetAddressRange",
      "aclrtMemGetAllocationGranularity",
      "aclrtMemImportFromShareableHandle",
      "aclrtMemImportFromShareableHandleV2",
      "aclrtMemRetainAllocationHandle",
      "aclrtMemSetAccess",
      "aclrtMemSetPidToShareableHandle",
      "aclrtMemSetPidToShareableHandleV2",
      "aclrtReleaseMemAddress",
      "aclrtReserveMemAddress",
      "aclrtReserveMemAddressNoUCMemory",
      "aclrtUnmapMem",
      "aclrtActiveStream",
      "aclrtCmoAsync",
      "aclrtGetOpTimeOutInterval",
      "aclrtGetResInCurrentThread",
      "aclrtGetStreamAttribute",
      "aclrtGetStreamAvailableNum",
      "aclrtGetStreamOverflowSwitch",
      "aclrtGetStreamResLimit",
      "aclrtResetStreamResLimit",
      "aclrtSetOpExecuteTimeOut",
      "aclrtSetOpExecuteTimeOutV2",
      "aclrtSetOpWaitTimeout",
      "aclrtSetStreamAttribute",
      "aclrtSetStreamFailureMode",
      "aclrtSetStreamOverflowSwitch",
      "aclrtSetStreamResLimit",
      "aclrtUnuseStreamResInCurrentThread",
      "aclrtUseStreamResInCurrentThread",
      "aclrtValueWait",
      "aclrtValueWrite",
      "aclrtLaunchCallback",
      "aclrtLaunchHostFunc",
      "aclrtProcessReport",
      "aclrtRegDeviceStateCallback",
      "aclrtSetDeviceTaskAbortCallback",
      "aclrtSubscribeReport",
      "aclrtUnSubscribeReport",
      "aclrtIpcGetEventHandle",
      "aclrtIpcOpenEventHandle",
      "aclrtCntNotifyCreate",
      "aclrtCntNotifyDestroy",
      "aclrtCntNotifyGetId",
      "aclrtCntNotifyRecord",
      "aclrtCntNotifyWaitWithTimeout",
      "aclrtCreateNotify",
      "aclrtDestroyNotify",
      "aclrtGetNotifyId",
      "aclrtNotifyBatchReset",
      "aclrtNotifyGetExportKey",
      "aclrtNotifyImportByKey",
      "aclrtNotifySetImportPid",
      "aclrtNotifySetImportPidInterServer",
      "aclrtRecordNotify",
      "aclrtWaitAndResetNotify",
      "rtSetIpcMemorySuperPodPid",
      "rtGetDeviceInfo",
      "rtGetPhyDeviceInfo",
      "rtGetPairPhyDevicesInfo",
  };
  for (const char* name : functions) {
    // None of them looks at its arguments.
    const auto function = reinterpret_cast<aclError (*)()>(::dlsym(RTLD_DEFAULT, name));
    ASSERT_NE(function, nullptr) << name;
    EXPECT_EQ(function(), ACL_ERROR_RT_FEATURE_NOT_SUPPORT) << name;
    const char* const message = aclGetRecentErrMsg();
    ASSERT_NE(message, nullptr) << name;
    EXPECT_NE(::strstr(message, name), nullptr) << message;
  }
}

}  // namespace
}  // namespace npu_ipc::sim
