// The devices that this process sees, their three kinds of id, and which of them it holds open.
#pragma once

#include <stdint.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "acl/acl_rt.h"
#include "hal/sim/driver/protocol.h"
#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

// The driver's word of which imports are still there: a page shared with it, read only.
class ValidityPage {
 public:
  // Takes over nothing: `descriptor` may be closed afterwards.
  static RtResult<std::shared_ptr<const ValidityPage>> Map(int descriptor, uint32_t slots);
  ~ValidityPage();
  ValidityPage(const ValidityPage&) = delete;
  ValidityPage& operator=(const ValidityPage&) = delete;

  // Whether the pages behind this import may still be reached.
  bool IsValid(uint32_t slot) const;

 private:
  ValidityPage(const uint32_t* words, uint32_t slots) : words_(words), slots_(slots) {}

  const uint32_t* words_;
  uint32_t slots_;
};

// What a process learns of its node, once for each connection to the driver.
struct NodeView {
  uint64_t connection = 0;
  std::string soc_name;
  std::string driver_version;
  uint32_t chip_family = 0;
  std::vector<uint32_t> physical_by_logic;
  std::vector<uint32_t> logic_by_user;
  std::shared_ptr<const ValidityPage> validity;
};

// Which logic ids an ASCEND_RT_VISIBLE_DEVICES value keeps, in its order: a list of ids, cut at the
// first that is no number, not there, or named before. All of them without a value (nullptr).
std::vector<uint32_t> VisibleDevices(const char* value, uint32_t device_count);

// Safe for concurrent use.
class Devices {
 public:
  // Asks the driver when it was not asked before.
  RtResult<std::shared_ptr<const NodeView>> View();

  // 107001 for an id that this process does not see.
  RtResult<uint32_t> PhysicalOfUser(int32_t user);
  RtResult<uint32_t> LogicOfUser(int32_t user);
  RtResult<uint32_t> UserOfLogic(int32_t logic);
  RtResult<uint32_t> UserOfPhysical(int32_t physical);
  RtResult<uint32_t> LogicOfPhysical(int32_t physical);
  RtResult<uint32_t> PhysicalOfLogic(int32_t logic);

  RtResult<DeviceRecord> Describe(uint32_t physical);

  // Opens count: the first opens the device node and the driver's device, the last closes it.
  RtStatus Open(uint32_t physical);
  // True when this was the last.
  bool Close(uint32_t physical);

  // What this process' operators would do beyond a number's range. Saturation until it is set, and
  // again once the device is closed.
  void SetFloatOverflowMode(uint32_t physical, aclrtFloatOverflowMode mode);
  aclrtFloatOverflowMode GetFloatOverflowMode(uint32_t physical);

 private:
  std::mutex mutex_;
  std::shared_ptr<const NodeView> view_;
  std::map<uint32_t, uint32_t> opens_;  // by physical id
  std::map<uint32_t, aclrtFloatOverflowMode> float_overflow_modes_;
};

}  // namespace npu_ipc::sim
