// What libascendcl asks of libruntime, beside the vendor's own rts entries: private to the two
// libraries, which are always of one build.
//
// Any thread. Each function returns 0 or a vendor code, and leaves the code and a message with the
// calling thread. Pointers to results are not null: libascendcl has looked. "Needs a context" means
// 107002 for a thread without one.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "acl/acl_rt.h"
#include "runtime/base.h"

#define NPU_IPC_SIM_RT_API __attribute__((visibility("default")))

namespace npu_ipc::sim::rt {

// Errors. Fail() is how libascendcl leaves one of its own; NotBuilt() is 207000.
NPU_IPC_SIM_RT_API rtError_t Fail(rtError_t code, const char* message);
NPU_IPC_SIM_RT_API rtError_t NotBuilt(const char* function);
NPU_IPC_SIM_RT_API rtError_t PeekAtLastError();
NPU_IPC_SIM_RT_API rtError_t GetLastError();
NPU_IPC_SIM_RT_API const char* RecentMessage();

// Process. Init is 100002 when it was called before, Finalize 100001 before and 100037 after.
NPU_IPC_SIM_RT_API rtError_t Init();
NPU_IPC_SIM_RT_API rtError_t Finalize();
// Into `text`, cut to `capacity`; 507899 without a driver.
NPU_IPC_SIM_RT_API rtError_t SocName(char* text, size_t capacity);
NPU_IPC_SIM_RT_API rtError_t DriverVersion(char* text, size_t capacity);

// Devices, by user id where nothing else is said.
NPU_IPC_SIM_RT_API rtError_t SetDevice(int32_t device);
NPU_IPC_SIM_RT_API rtError_t ResetDevice(int32_t device, bool force);
NPU_IPC_SIM_RT_API rtError_t GetDevice(int32_t* device);  // needs a context
NPU_IPC_SIM_RT_API rtError_t DeviceCount(uint32_t* count);
NPU_IPC_SIM_RT_API rtError_t DeviceAttribute(uint32_t device, aclrtDevAttr attribute,
                                             int64_t* value);
NPU_IPC_SIM_RT_API rtError_t DeviceHealth(int32_t device, aclrtDeviceStatus* status);
NPU_IPC_SIM_RT_API rtError_t DeviceUtilization(int32_t device, aclrtUtilizationInfo* utilization);
NPU_IPC_SIM_RT_API rtError_t SetFloatOverflowMode(aclrtFloatOverflowMode mode);   // needs a context
NPU_IPC_SIM_RT_API rtError_t GetFloatOverflowMode(aclrtFloatOverflowMode* mode);  // needs a context
NPU_IPC_SIM_RT_API rtError_t DeviceTopology(uint32_t device, uint32_t other, uint64_t* links);
NPU_IPC_SIM_RT_API rtError_t DefaultContextState(int32_t device, int32_t* active);
NPU_IPC_SIM_RT_API rtError_t LogicOfUser(int32_t user, int32_t* logic);
NPU_IPC_SIM_RT_API rtError_t UserOfLogic(int32_t logic, int32_t* user);
NPU_IPC_SIM_RT_API rtError_t LogicOfPhysical(int32_t physical, int32_t* logic);
NPU_IPC_SIM_RT_API rtError_t PhysicalOfLogic(int32_t logic, int32_t* physical);
NPU_IPC_SIM_RT_API rtError_t PhysicalOfUser(int32_t user, int32_t* physical);
NPU_IPC_SIM_RT_API rtError_t UserOfPhysical(int32_t physical, int32_t* user);

// Peer access, by user id; Enable and Disable from the current context's device.
NPU_IPC_SIM_RT_API rtError_t CanAccessPeer(int32_t device, int32_t peer, int32_t* can);
NPU_IPC_SIM_RT_API rtError_t EnablePeer(int32_t peer);
NPU_IPC_SIM_RT_API rtError_t DisablePeer(int32_t peer);
NPU_IPC_SIM_RT_API rtError_t PeerStatus(int32_t device, int32_t peer, int32_t* status);

// Contexts.
NPU_IPC_SIM_RT_API rtError_t CreateContext(int32_t device, aclrtContext* context);
NPU_IPC_SIM_RT_API rtError_t DestroyContext(aclrtContext context);
NPU_IPC_SIM_RT_API rtError_t SetCurrentContext(aclrtContext context);
NPU_IPC_SIM_RT_API rtError_t GetCurrentContext(aclrtContext* context);
NPU_IPC_SIM_RT_API rtError_t SynchronizeDevice(int32_t timeout_ms);

// Streams; all need a context, and a stream of another context is 107003.
NPU_IPC_SIM_RT_API rtError_t CreateStream(aclrtStream* stream);
NPU_IPC_SIM_RT_API rtError_t DestroyStream(aclrtStream stream, bool force);
NPU_IPC_SIM_RT_API rtError_t SynchronizeStream(aclrtStream stream, int32_t timeout_ms);
NPU_IPC_SIM_RT_API rtError_t QueryStream(aclrtStream stream, aclrtStreamStatus* status);
NPU_IPC_SIM_RT_API rtError_t StreamId(aclrtStream stream, int32_t* id);

// Events.
NPU_IPC_SIM_RT_API rtError_t CreateEvent(bool record_first, aclrtEvent* event);
NPU_IPC_SIM_RT_API rtError_t DestroyEvent(aclrtEvent event);
NPU_IPC_SIM_RT_API rtError_t RecordEvent(aclrtEvent event, aclrtStream stream);
NPU_IPC_SIM_RT_API rtError_t ResetEvent(aclrtEvent event, aclrtStream stream);
NPU_IPC_SIM_RT_API rtError_t WaitEvent(aclrtStream stream, aclrtEvent event);
NPU_IPC_SIM_RT_API rtError_t QueryEvent(aclrtEvent event, bool* complete);
NPU_IPC_SIM_RT_API rtError_t QueryEventWaits(aclrtEvent event, bool* ended);
NPU_IPC_SIM_RT_API rtError_t SynchronizeEvent(aclrtEvent event, int32_t timeout_ms);
NPU_IPC_SIM_RT_API rtError_t EventElapsedTime(aclrtEvent start, aclrtEvent end, float* ms);
NPU_IPC_SIM_RT_API rtError_t EventTimestamp(aclrtEvent event, uint64_t* microseconds);
NPU_IPC_SIM_RT_API rtError_t EventId(aclrtEvent event, uint32_t* id);

// Memory; all but the host's need a context.
NPU_IPC_SIM_RT_API rtError_t Malloc(size_t bytes, aclrtMemMallocPolicy policy, void** pointer);
NPU_IPC_SIM_RT_API rtError_t Free(void* pointer);
NPU_IPC_SIM_RT_API rtError_t MallocHost(size_t bytes, void** pointer);
NPU_IPC_SIM_RT_API rtError_t FreeHost(void* pointer);
NPU_IPC_SIM_RT_API rtError_t RegisterHost(void* pointer, size_t bytes, void** device_pointer);
NPU_IPC_SIM_RT_API rtError_t UnregisterHost(void* pointer);
NPU_IPC_SIM_RT_API rtError_t MemoryInfo(size_t* free_bytes, size_t* total_bytes);
NPU_IPC_SIM_RT_API rtError_t PointerAttributes(const void* pointer, aclrtPtrAttributes* attributes);
NPU_IPC_SIM_RT_API rtError_t Copy(void* destination, size_t room, const void* source, size_t count,
                                  aclrtMemcpyKind kind);
NPU_IPC_SIM_RT_API rtError_t CopyAsync(void* destination, size_t room, const void* source,
                                       size_t count, aclrtMemcpyKind kind, aclrtStream stream);
NPU_IPC_SIM_RT_API rtError_t Fill(void* destination, size_t room, int32_t value, size_t count);
NPU_IPC_SIM_RT_API rtError_t FillAsync(void* destination, size_t room, int32_t value, size_t count,
                                       aclrtStream stream);

}  // namespace npu_ipc::sim::rt
