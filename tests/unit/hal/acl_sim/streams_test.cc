// Contexts, streams and events.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "acl/acl.h"
#include "tests/unit/hal/acl_sim/simulated_node.h"

namespace npu_ipc::sim {
namespace {

constexpr size_t kBytes = 1 << 20;

class StreamsTest : public ::testing::Test {
 protected:
  SimulatedDriver driver_;
};

aclrtStream NewStream() {
  aclrtStream stream = nullptr;
  EXPECT_EQ(aclrtCreateStream(&stream), ACL_SUCCESS);
  return stream;
}

aclrtEvent NewEvent() {
  aclrtEvent event = nullptr;
  EXPECT_EQ(aclrtCreateEvent(&event), ACL_SUCCESS);
  return event;
}

bool IsComplete(aclrtEvent event) {
  aclrtEventRecordedStatus status = ACL_EVENT_RECORDED_STATUS_NOT_READY;
  EXPECT_EQ(aclrtQueryEventStatus(event, &status), ACL_SUCCESS);
  return status == ACL_EVENT_RECORDED_STATUS_COMPLETE;
}

bool IsIdle(aclrtStream stream) {
  aclrtStreamStatus status = ACL_STREAM_STATUS_RESERVED;
  EXPECT_EQ(aclrtStreamQuery(stream, &status), ACL_SUCCESS);
  return status == ACL_STREAM_STATUS_COMPLETE;
}

void* Allocate() {
  void* pointer = nullptr;
  EXPECT_EQ(aclrtMalloc(&pointer, kBytes, ACL_MEM_MALLOC_HUGE_FIRST), ACL_SUCCESS);
  return pointer;
}

TEST_F(StreamsTest, RunWithoutBeingSynchronised) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    const aclrtStream stream = NewStream();
    const aclrtEvent event = NewEvent();
    EXPECT_FALSE(IsComplete(event)) << "never recorded";
    ASSERT_EQ(aclrtMemsetAsync(Allocate(), kBytes, 1, kBytes, stream), ACL_SUCCESS);
    ASSERT_EQ(aclrtRecordEvent(event, stream), ACL_SUCCESS);
    EXPECT_TRUE(WaitUntil([&] { return IsComplete(event); }));
    EXPECT_TRUE(WaitUntil([&] { return IsIdle(stream); }));
    EXPECT_EQ(aclrtDestroyEvent(event), ACL_SUCCESS);
    EXPECT_EQ(aclrtDestroyStream(stream), ACL_SUCCESS);
  });
}

TEST_F(StreamsTest, KeepTheOrderAndWaitForEachOther) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    const aclrtStream first = NewStream();
    const aclrtStream second = NewStream();
    const aclrtEvent gate = NewEvent();
    const aclrtEvent done = NewEvent();
    void* const memory = Allocate();
    std::vector<uint8_t> host(kBytes);
    // The second waits for a record that is not queued yet.
    ASSERT_EQ(aclrtStreamWaitEvent(second, gate), ACL_SUCCESS);
    ASSERT_EQ(
        aclrtMemcpyAsync(host.data(), kBytes, memory, kBytes, ACL_MEMCPY_DEVICE_TO_HOST, second),
        ACL_SUCCESS);
    ASSERT_EQ(aclrtRecordEvent(done, second), ACL_SUCCESS);
    aclrtEventWaitStatus waits = ACL_EVENT_WAIT_STATUS_RESERVED;
    EXPECT_EQ(aclrtQueryEventWaitStatus(gate, &waits), ACL_SUCCESS);
    EXPECT_EQ(waits, ACL_EVENT_WAIT_STATUS_NOT_READY);
    EXPECT_FALSE(IsIdle(second));
    EXPECT_EQ(aclrtSynchronizeStreamWithTimeout(second, 20), ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
    EXPECT_EQ(aclrtSynchronizeEventWithTimeout(done, 20), ACL_ERROR_RT_EVENT_SYNC_TIMEOUT);

    for (int value = 1; value <= 100; ++value) {
      ASSERT_EQ(aclrtMemsetAsync(memory, kBytes, value, kBytes, first), ACL_SUCCESS);
    }
    ASSERT_EQ(aclrtRecordEvent(gate, first), ACL_SUCCESS);
    EXPECT_EQ(aclrtSynchronizeEvent(done), ACL_SUCCESS);
    EXPECT_EQ(host, std::vector<uint8_t>(kBytes, 100));
    EXPECT_EQ(aclrtQueryEventWaitStatus(gate, &waits), ACL_SUCCESS);
    EXPECT_EQ(waits, ACL_EVENT_WAIT_STATUS_COMPLETE);
    float ms = -1;
    EXPECT_EQ(aclrtEventElapsedTime(&ms, gate, done), ACL_SUCCESS);
    EXPECT_GE(ms, 0.0F);
    EXPECT_EQ(aclrtSynchronizeDevice(), ACL_SUCCESS);
  });
}

TEST_F(StreamsTest, ACopyWithAConditionWaitsUnlessTheHostMemoryIsPageLocked) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    const aclrtStream stream = NewStream();
    void* const memory = Allocate();
    std::vector<uint8_t> pageable(kBytes);
    ASSERT_EQ(aclrtMemsetAsync(memory, kBytes, 7, kBytes, stream), ACL_SUCCESS);
    ASSERT_EQ(aclrtMemcpyAsyncWithCondition(pageable.data(), kBytes, memory, kBytes,
                                            ACL_MEMCPY_DEVICE_TO_HOST, stream),
              ACL_SUCCESS);
    EXPECT_EQ(pageable, std::vector<uint8_t>(kBytes, 7)) << "without waiting for the stream";

    void* locked = nullptr;
    ASSERT_EQ(aclrtMallocHost(&locked, kBytes), ACL_SUCCESS);
    const aclrtEvent gate = NewEvent();
    ASSERT_EQ(aclrtStreamWaitEvent(stream, gate), ACL_SUCCESS);
    ASSERT_EQ(aclrtMemcpyAsyncWithCondition(locked, kBytes, memory, kBytes,
                                            ACL_MEMCPY_DEVICE_TO_HOST, stream),
              ACL_SUCCESS);
    EXPECT_FALSE(IsIdle(stream)) << "it came back before the copy";
    ASSERT_EQ(aclrtRecordEvent(gate, NewStream()), ACL_SUCCESS);
    EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_SUCCESS);
    EXPECT_EQ(static_cast<const uint8_t*>(locked)[kBytes - 1], 7);
    EXPECT_EQ(aclrtMemcpyAsyncWithCondition(nullptr, kBytes, memory, kBytes,
                                            ACL_MEMCPY_DEVICE_TO_HOST, stream),
              ACL_ERROR_INVALID_PARAM);
  });
}

TEST_F(StreamsTest, AreDestroyedByForceWhileTheyWait) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    const aclrtStream stream = NewStream();
    const aclrtEvent never = NewEvent();
    const aclrtEvent after = NewEvent();
    ASSERT_EQ(aclrtStreamWaitEvent(stream, never), ACL_SUCCESS);
    ASSERT_EQ(aclrtRecordEvent(after, stream), ACL_SUCCESS);
    EXPECT_EQ(aclrtDestroyStreamForce(stream), ACL_SUCCESS);
    EXPECT_TRUE(IsComplete(after)) << "nobody waits for ever for what was dropped";
    EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_ERROR_RT_INVALID_HANDLE);
    EXPECT_EQ(aclrtDestroyStream(stream), ACL_ERROR_RT_INVALID_HANDLE);
    const aclrtStream waiting = NewStream();
    ASSERT_EQ(aclrtStreamWaitEvent(waiting, never), ACL_SUCCESS);
    EXPECT_EQ(aclrtResetDeviceForce(0), ACL_SUCCESS);
  });
}

TEST_F(StreamsTest, EventsOfTheExKindWaitForEarlierRecordsOnly) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    const aclrtStream stream = NewStream();
    aclrtEvent event = nullptr;
    ASSERT_EQ(aclrtCreateEventExWithFlag(&event, ACL_EVENT_SYNC | ACL_EVENT_TIME_LINE),
              ACL_SUCCESS);
    EXPECT_EQ(aclrtStreamWaitEvent(stream, event), ACL_SUCCESS);
    EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_SUCCESS);
    uint64_t time = 0;
    EXPECT_EQ(aclrtEventGetTimestamp(event, &time), ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID);
    EXPECT_EQ(aclrtRecordEvent(event, stream), ACL_SUCCESS);
    EXPECT_EQ(aclrtSynchronizeEvent(event), ACL_SUCCESS);
    EXPECT_EQ(aclrtEventGetTimestamp(event, &time), ACL_SUCCESS);
    EXPECT_GT(time, 0U);
    EXPECT_EQ(aclrtResetEvent(event, stream), ACL_SUCCESS);
    EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_SUCCESS);
    EXPECT_FALSE(IsComplete(event));
    EXPECT_EQ(aclrtDestroyEvent(event), ACL_SUCCESS);
    EXPECT_EQ(aclrtRecordEvent(event, stream), ACL_ERROR_RT_INVALID_HANDLE);
    EXPECT_EQ(aclrtCreateEventExWithFlag(&event, ACL_EVENT_IPC), ACL_ERROR_RT_FEATURE_NOT_SUPPORT);
  });
}

TEST_F(StreamsTest, EveryThreadHasAContextOfItsOwn) {
  InFreshProcess([] {
    aclrtContext context = nullptr;
    EXPECT_EQ(aclrtGetCurrentContext(&context), ACL_ERROR_RT_CONTEXT_NULL);
    ASSERT_EQ(aclrtSetDevice(2), ACL_SUCCESS);
    ASSERT_EQ(aclrtGetCurrentContext(&context), ACL_SUCCESS);
    const aclrtStream stream = NewStream();
    std::thread([context, stream] {
      int32_t device = -1;
      EXPECT_EQ(aclrtGetDevice(&device), ACL_ERROR_RT_CONTEXT_NULL);
      EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_ERROR_RT_CONTEXT_NULL);
      EXPECT_EQ(aclrtSetCurrentContext(context), ACL_SUCCESS);
      EXPECT_EQ(aclrtGetDevice(&device), ACL_SUCCESS);
      EXPECT_EQ(device, 2);
      EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_SUCCESS);
    }).join();

    aclrtContext other = nullptr;
    ASSERT_EQ(aclrtCreateContext(&other, 3), ACL_SUCCESS);
    int32_t device = -1;
    EXPECT_EQ(aclrtGetDevice(&device), ACL_SUCCESS);
    EXPECT_EQ(device, 3);
    EXPECT_EQ(aclrtSynchronizeStream(stream), ACL_ERROR_RT_STREAM_CONTEXT);
    EXPECT_EQ(aclrtDestroyContext(other), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetDevice(&device), ACL_ERROR_RT_CONTEXT_NULL);
    EXPECT_NE(aclrtSetCurrentContext(other), ACL_SUCCESS);
    EXPECT_NE(aclrtDestroyContext(other), ACL_SUCCESS);
    EXPECT_EQ(aclrtSetCurrentContext(context), ACL_SUCCESS);
    EXPECT_NE(aclrtDestroyContext(context), ACL_SUCCESS) << "a default context";
    EXPECT_EQ(aclrtGetDevice(&device), ACL_SUCCESS);
    EXPECT_NE(aclrtSetCurrentContext(&device), ACL_SUCCESS) << "any pointer";
  });
}

}  // namespace
}  // namespace npu_ipc::sim
