// Vendor functions by their AscendCL names, as libnpu_ipc.so calls them. The preload library, which
// AscendCL's names would lead back to itself, has a table of its own.
#include <atomic>

#include "runtime/src/loaded_symbols.h"
#include "runtime/src/memory.h"
#include "runtime/src/vendor.h"

namespace npu_ipc::runtime {
namespace {

using hal::acl::IpcTable;

// Set once. No lock guards it, as the lookup takes the loader's, which a thread that runs a
// library's constructor holds.
constinit std::atomic<IpcTable*> known_table{nullptr};

}  // namespace

const IpcTable* FindVendor(Text* error) {
  if (const IpcTable* const known = known_table.load(std::memory_order_acquire)) return known;
  IpcTable found = {};
  Text missing;
  bool complete = FillIpcTable(
      &found, [](const char* symbol) { return FindLoadedSymbol(symbol); },
      [&missing](const char* symbol) {
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

}  // namespace npu_ipc::runtime
