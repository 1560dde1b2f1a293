// All that the driver says it has exported, read at once.
#pragma once

#include <stddef.h>

#include <string>
#include <vector>

#include "plugin/driver_records/driver_records.h"

namespace npu_ipc::admin {

struct DriverExports {
  bool available = false;
  std::string problem;  // why not
  std::vector<driver_records::IpcMemoryRecord> records;
  size_t unreadable = 0;  // keys whose record could not be read, other than those that have gone
};

DriverExports ReadDriverExports(const driver_records::DriverRecords& driver);

}  // namespace npu_ipc::admin
