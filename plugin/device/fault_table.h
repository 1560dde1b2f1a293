// What a fault code of the driver means for a device: a table that an operator can replace.
#pragma once

#include <stdint.h>

#include <map>
#include <string>

#include "npu_ipc/hal/device_manager.h"

namespace npu_ipc::device {

enum class FaultEffect {
  kIgnore,     // says nothing of whether the device can be used
  kDegraded,   // logged; containers are still given the device
  kUnhealthy,  // no container is given the device while the code stands
};

// Immutable once made.
class FaultTable {
 public:
  // The table that is built in: fault-codes.json of this folder.
  FaultTable();

  // kInvalidArgument says what is wrong with the text, kNotFound and the like that `path` cannot be
  // read.
  static Result<FaultTable> Parse(const std::string& json);
  static Result<FaultTable> Read(const std::string& path);

  // Why the device should have no new container; "" when it may have. A device that the driver
  // calls absent never may. A listed code that is unhealthy is enough by itself. Where the driver
  // calls the device critical, it may only when the driver names codes and each of them is listed
  // as less: a code that is not listed means what the driver's level says.
  std::string Judge(const hal::DeviceHealth& health) const;

  // The faults that leave the device usable, for a log: those that are listed as degraded, with
  // their codes; "" where there are none.
  std::string Degradation(const hal::DeviceHealth& health) const;

  size_t size() const { return effects_.size(); }
  bool operator==(const FaultTable&) const = default;

 private:
  explicit FaultTable(std::map<uint32_t, FaultEffect> effects) : effects_(std::move(effects)) {}

  std::map<uint32_t, FaultEffect> effects_;  // by code
};

}  // namespace npu_ipc::device
