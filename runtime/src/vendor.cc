#include "runtime/src/vendor.h"

#include <atomic>

#include "runtime/src/loaded_symbols.h"
#include "runtime/src/memory.h"

namespace npu_ipc::runtime {
namespace {

using hal::acl::Error;
using hal::acl::IpcTable;

// Set once. No lock guards it, as the lookup takes the loader's, which a thread that runs a
// library's constructor holds.
constinit std::atomic<IpcTable*> known_table{nullptr};

Error FindPhysicalDevice(const IpcTable& vendor, int32_t user_device, uint32_t* physical_device,
                         const char** call) {
  if (vendor.get_physical_device_by_index != nullptr) {
    *call = "rtGetDevicePhyIdByIndex";
    return vendor.get_physical_device_by_index(static_cast<uint32_t>(user_device), physical_device);
  }
  *call = "aclrtGetPhyDevIdByUserDevId";
  int32_t physical = 0;
  const Error code = vendor.get_physical_device_by_user_device(user_device, &physical);
  *physical_device = static_cast<uint32_t>(physical);
  return code;
}

}  // namespace

const IpcTable* FindVendor(Text* error) {
  if (const IpcTable* const known = known_table.load(std::memory_order_acquire)) return known;
  IpcTable found = {};
  Text missing;
  bool complete = FillIpcTable(&found, FindLoadedSymbol, [&missing](const char* symbol) {
    missing.Append(missing.empty() ? "" : ", ").Append(symbol);
  });
  if (found.get_physical_device_by_index == nullptr &&
      found.get_physical_device_by_user_device == nullptr) {
    missing.Append(missing.empty() ? "" : ", ")
        .Append("rtGetDevicePhyIdByIndex or aclrtGetPhyDevIdByUserDevId");
    complete = false;
  }
  if (!complete) {
    *error = Text("the libraries that this program has loaded lack ");
    error->Append(missing.c_str())
        .Append("; load libascendcl.so (CANN 8.3 or later) before sharing memory");
    return nullptr;
  }
  auto* const table = New<IpcTable>(found);
  if (table == nullptr) {
    *error = Text("the host is out of memory");
    return nullptr;
  }
  IpcTable* other = nullptr;
  if (known_table.compare_exchange_strong(other, table, std::memory_order_acq_rel)) return table;
  Delete(table);
  return other;
}

Error FindThreadDevice(const IpcTable& vendor, ThreadDevice* device, Text* error) {
  const char* call = "aclrtGetCurrentContext";
  Error code = vendor.get_current_context(&device->context);
  if (code == hal::acl::kSuccess && device->context == nullptr) code = hal::acl::kContextNull;
  int32_t user_device = 0;
  if (code == hal::acl::kSuccess) {
    call = "aclrtGetDevice";
    code = vendor.get_device(&user_device);
  }
  if (code == hal::acl::kSuccess) {
    device->user_device = static_cast<uint32_t>(user_device);
    code = FindPhysicalDevice(vendor, user_device, &device->physical_device, &call);
  }
  if (code != hal::acl::kSuccess) *error = DescribeVendorError(call, code);
  return code;
}

Text DescribeVendorError(const char* call, Error code) {
  Text text(call);
  text.Append(" failed with ").Append(int64_t{code});
  if (code == hal::acl::kContextNull) {
    text.Append(": the calling thread has no context; call aclrtSetDevice on it first");
  }
  return text;
}

wire::Status PeerFailure(Error code) {
  // driver: devdrv_ctrl.c answers ENOMEM when 32 processes have the pair, which becomes this code.
  if (code == hal::acl::kMemoryAllocation) return wire::Status::kPeerLimit;
  return code != hal::acl::kSuccess ? wire::Status::kUnreachable : wire::Status::kInternal;
}

}  // namespace npu_ipc::runtime
