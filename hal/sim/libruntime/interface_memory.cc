// Memory and copies of interface.h.
#include "hal/sim/libruntime/copy.h"
#include "hal/sim/libruntime/device_memory.h"
#include "hal/sim/libruntime/driver.h"
#include "hal/sim/libruntime/interface.h"
#include "hal/sim/libruntime/process_state.h"
#include "hal/sim/libruntime/stream_lookup.h"

namespace npu_ipc::sim::rt {
namespace {

constexpr uint32_t kHostPageBytes = 4096;

RtResult<uint32_t> CurrentDevice() {
  RtResult<std::shared_ptr<Context>> context = ProcessState::Get().contexts.Current();
  if (!context.ok()) return context.status();
  return (*context)->physical_device();
}

rtError_t Give(RtResult<void*> made, void** pointer) {
  if (!made.ok()) return Record(made.status());
  *pointer = *made;
  return ACL_RT_SUCCESS;
}

}  // namespace

rtError_t Malloc(size_t bytes, aclrtMemMallocPolicy policy, void** pointer) {
  RtResult<uint32_t> device = CurrentDevice();
  if (!device.ok()) return Record(device.status());
  return Give(AllocateDeviceMemory(ProcessState::Get().addresses, *device, bytes, policy), pointer);
}

rtError_t Free(void* pointer) {
  RtResult<uint32_t> device = CurrentDevice();
  if (!device.ok()) return Record(device.status());
  return Record(FreeDeviceMemory(ProcessState::Get().addresses, pointer));
}

rtError_t MallocHost(size_t bytes, void** pointer) {
  return Give(ProcessState::Get().host_memory.Allocate(bytes), pointer);
}

rtError_t FreeHost(void* pointer) { return Record(ProcessState::Get().host_memory.Free(pointer)); }

rtError_t RegisterHost(void* pointer, size_t bytes, void** device_pointer) {
  RtResult<uint32_t> device = CurrentDevice();
  if (!device.ok()) return Record(device.status());
  return Give(ProcessState::Get().host_registrations.Add(*device, pointer, bytes), device_pointer);
}

rtError_t UnregisterHost(void* pointer) {
  return Record(ProcessState::Get().host_registrations.Remove(pointer));
}

rtError_t MemoryInfo(size_t* free_bytes, size_t* total_bytes) {
  RtResult<uint32_t> device = CurrentDevice();
  if (!device.ok()) return Record(device.status());
  Request request = {};
  request.operation = Operation::kMemoryInfo;
  request.device = *device;
  RtResult<DriverReply> answer =
      CallDriver(request, "asking about the memory of device " + std::to_string(*device));
  if (!answer.ok()) return Record(answer.status());
  *total_bytes = answer->reply.values[0];
  *free_bytes = answer->reply.values[1];
  return ACL_RT_SUCCESS;
}

rtError_t PointerAttributes(const void* pointer, aclrtPtrAttributes* attributes) {
  ProcessState& state = ProcessState::Get();
  *attributes = {};
  attributes->pageSize = kHostPageBytes;
  const std::shared_ptr<const Region> region = state.addresses.Find(pointer);
  if (region == nullptr) {
    attributes->location.type = state.host_memory.Contains(pointer)
                                    ? ACL_MEM_LOCATION_TYPE_HOST
                                    : ACL_MEM_LOCATION_TYPE_UNREGISTERED;
    return ACL_RT_SUCCESS;
  }
  RtResult<uint32_t> user = state.devices.UserOfPhysical(static_cast<int32_t>(region->device));
  if (!user.ok()) return Record(user.status());
  attributes->location.type = ACL_MEM_LOCATION_TYPE_DEVICE;
  attributes->location.id = *user;
  attributes->pageSize = static_cast<uint32_t>(region->page_bytes);
  return ACL_RT_SUCCESS;
}

rtError_t Copy(void* destination, size_t room, const void* source, size_t count,
               aclrtMemcpyKind kind) {
  RtResult<uint32_t> device = CurrentDevice();
  if (!device.ok()) return Record(device.status());
  return Record(CopyNow(ProcessState::Get().addresses, {destination, room, source, count, kind}));
}

rtError_t CopyAsync(void* destination, size_t room, const void* source, size_t count,
                    aclrtMemcpyKind kind, aclrtStream stream) {
  RtResult<std::shared_ptr<Stream>> found = FindStream(stream);
  if (!found.ok()) return Record(found.status());
  return Record(
      CopyOn(**found, ProcessState::Get().addresses, {destination, room, source, count, kind}));
}

rtError_t Fill(void* destination, size_t room, int32_t value, size_t count) {
  RtResult<uint32_t> device = CurrentDevice();
  if (!device.ok()) return Record(device.status());
  return Record(FillNow(ProcessState::Get().addresses, {destination, room, value, count}));
}

rtError_t FillAsync(void* destination, size_t room, int32_t value, size_t count,
                    aclrtStream stream) {
  RtResult<std::shared_ptr<Stream>> found = FindStream(stream);
  if (!found.ok()) return Record(found.status());
  return Record(FillOn(**found, ProcessState::Get().addresses, {destination, room, value, count}));
}

}  // namespace npu_ipc::sim::rt
