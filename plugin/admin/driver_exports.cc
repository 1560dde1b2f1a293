#include "plugin/admin/driver_exports.h"

#include <utility>

namespace npu_ipc::admin {

DriverExports ReadDriverExports(const driver_records::DriverRecords& driver) {
  DriverExports exports;
  const Result<std::vector<std::string>> keys = driver.Keys();
  if (!keys.ok()) {
    exports.problem = keys.status().message();
    return exports;
  }
  exports.available = true;
  for (const std::string& key : *keys) {
    Result<driver_records::IpcMemoryRecord> record = driver.Read(key);
    if (record.ok()) {
      exports.records.push_back(std::move(*record));
    } else if (record.status().code() != StatusCode::kNotFound) {
      ++exports.unreadable;
    }
  }
  return exports;
}

}  // namespace npu_ipc::admin
