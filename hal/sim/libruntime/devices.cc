#include "hal/sim/libruntime/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "hal/base/fd.h"
#include "hal/sim/libruntime/driver.h"

namespace npu_ipc::sim {
namespace {

constexpr char kVisibleDevices[] = "ASCEND_RT_VISIBLE_DEVICES";

template <size_t size>
std::string Text(const char (&field)[size]) {
  return std::string(field, ::strnlen(field, size));
}

RtStatus NotVisible(std::string_view kind, int32_t id, size_t count) {
  return RtStatus(ACL_ERROR_RT_INVALID_DEVICEID,
                  std::string(kind) + " device id " + std::to_string(id) + " is none of the " +
                      std::to_string(count) + " devices that this process sees (/dev/davinci*, " +
                      kVisibleDevices + ")");
}

RtResult<uint32_t> At(const std::vector<uint32_t>& ids, int32_t index, std::string_view kind) {
  if (index < 0 || static_cast<size_t>(index) >= ids.size()) {
    return NotVisible(kind, index, ids.size());
  }
  return ids[static_cast<size_t>(index)];
}

RtResult<uint32_t> IndexOf(const std::vector<uint32_t>& ids, int32_t id, std::string_view kind) {
  const auto found = std::find(ids.begin(), ids.end(), static_cast<uint32_t>(id));
  if (id < 0 || found == ids.end()) return NotVisible(kind, id, ids.size());
  return static_cast<uint32_t>(found - ids.begin());
}

// The device cgroup and the node's permissions speak at open(2). A placeholder node has no driver
// behind it: ENXIO is as good as an open.
RtStatus OpenNode(uint32_t physical) {
  const std::string path = "/dev/davinci" + std::to_string(physical);
  const UniqueFd node(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (node || errno == ENXIO) return {};
  const int error = errno;
  return RtStatus(ACL_ERROR_RT_DRV_INTERNAL_ERROR,
                  "cannot open " + path + ": " + ::strerror(error) +
                      "; is the device given to this container, and to this user?");
}

}  // namespace

RtResult<std::shared_ptr<const ValidityPage>> ValidityPage::Map(int descriptor, uint32_t slots) {
  void* const words =
      ::mmap(nullptr, slots * sizeof(uint32_t), PROT_READ, MAP_SHARED, descriptor, 0);
  if (words == MAP_FAILED) {
    return RtStatus(ACL_ERROR_RT_MEMORY_ALLOCATION,
                    std::string("cannot map the driver's validity page: ") + ::strerror(errno));
  }
  return std::shared_ptr<const ValidityPage>(
      new ValidityPage(static_cast<const uint32_t*>(words), slots));
}

ValidityPage::~ValidityPage() {
  ::munmap(const_cast<uint32_t*>(words_), slots_ * sizeof(uint32_t));
}

bool ValidityPage::IsValid(uint32_t slot) const {
  return slot < slots_ && __atomic_load_n(&words_[slot], __ATOMIC_ACQUIRE) == 1;
}

std::vector<uint32_t> VisibleDevices(const char* value, uint32_t device_count) {
  std::vector<uint32_t> devices;
  if (value == nullptr) {
    for (uint32_t logic = 0; logic < device_count; ++logic) devices.push_back(logic);
    return devices;
  }
  std::string_view rest(value);
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    uint32_t logic = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), logic);
    if (error != std::errc() || end != item.data() + item.size() || logic >= device_count ||
        std::find(devices.begin(), devices.end(), logic) != devices.end()) {
      break;
    }
    devices.push_back(logic);
  }
  return devices;
}

RtResult<std::shared_ptr<const NodeView>> Devices::View() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (view_ != nullptr) return view_;
  Request request = {};
  request.operation = Operation::kHello;
  RtResult<DriverReply> answer = CallDriver(request, "asking for the devices");
  if (!answer.ok()) return answer.status();
  const HelloReply& hello = answer->reply.hello;
  if (answer->descriptors.size() != 1 || hello.device_count > kMaxDevices) {
    return RtStatus(ACL_ERROR_RT_DRV_INTERNAL_ERROR, "the driver's greeting is malformed");
  }
  RtResult<std::shared_ptr<const ValidityPage>> validity =
      ValidityPage::Map(answer->descriptors[0].get(), hello.validity_slots);
  if (!validity.ok()) return validity.status();
  auto view = std::make_shared<NodeView>();
  view->connection = answer->connection;
  view->soc_name = Text(hello.soc_name);
  view->driver_version = Text(hello.driver_version);
  view->chip_family = hello.chip_family;
  view->physical_by_logic.assign(hello.devices, hello.devices + hello.device_count);
  view->logic_by_user = VisibleDevices(::getenv(kVisibleDevices), hello.device_count);
  view->validity = *validity;
  view_ = std::move(view);
  return view_;
}

RtResult<uint32_t> Devices::LogicOfUser(int32_t user) {
  RtResult<std::shared_ptr<const NodeView>> view = View();
  if (!view.ok()) return view.status();
  return At((*view)->logic_by_user, user, "user");
}

RtResult<uint32_t> Devices::PhysicalOfLogic(int32_t logic) {
  RtResult<std::shared_ptr<const NodeView>> view = View();
  if (!view.ok()) return view.status();
  return At((*view)->physical_by_logic, logic, "logic");
}

RtResult<uint32_t> Devices::PhysicalOfUser(int32_t user) {
  RtResult<uint32_t> logic = LogicOfUser(user);
  if (!logic.ok()) return logic.status();
  return PhysicalOfLogic(static_cast<int32_t>(*logic));
}

RtResult<uint32_t> Devices::LogicOfPhysical(int32_t physical) {
  RtResult<std::shared_ptr<const NodeView>> view = View();
  if (!view.ok()) return view.status();
  return IndexOf((*view)->physical_by_logic, physical, "physical");
}

RtResult<uint32_t> Devices::UserOfLogic(int32_t logic) {
  RtResult<std::shared_ptr<const NodeView>> view = View();
  if (!view.ok()) return view.status();
  return IndexOf((*view)->logic_by_user, logic, "logic");
}

RtResult<uint32_t> Devices::UserOfPhysical(int32_t physical) {
  RtResult<uint32_t> logic = LogicOfPhysical(physical);
  if (!logic.ok()) return logic.status();
  return UserOfLogic(static_cast<int32_t>(*logic));
}

RtResult<DeviceRecord> Devices::Describe(uint32_t physical) {
  Request request = {};
  request.operation = Operation::kDeviceRecord;
  request.device = physical;
  RtResult<DriverReply> answer =
      CallDriver(request, "asking about device " + std::to_string(physical));
  if (!answer.ok()) return answer.status();
  return answer->reply.record;
}

RtStatus Devices::Open(uint32_t physical) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (opens_[physical] == 0) {
    if (RtStatus node = OpenNode(physical); !node.ok()) return node;
    Request request = {};
    request.operation = Operation::kOpenDevice;
    request.device = physical;
    RtResult<DriverReply> answer =
        CallDriver(request, "opening device " + std::to_string(physical));
    if (!answer.ok()) return answer.status();
    // A driver that was started anew has another validity page.
    if (view_ != nullptr && view_->connection != answer->connection) view_.reset();
  }
  ++opens_[physical];
  return {};
}

bool Devices::Close(uint32_t physical) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (opens_[physical] == 0 || --opens_[physical] != 0) return false;
  Request request = {};
  request.operation = Operation::kCloseDevice;
  request.device = physical;
  float_overflow_modes_.erase(physical);
  // A driver that is gone has closed it already.
  (void)CallDriver(request, "closing device " + std::to_string(physical));
  return true;
}

void Devices::SetFloatOverflowMode(uint32_t physical, aclrtFloatOverflowMode mode) {
  std::lock_guard<std::mutex> lock(mutex_);
  float_overflow_modes_[physical] = mode;
}

aclrtFloatOverflowMode Devices::GetFloatOverflowMode(uint32_t physical) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto set = float_overflow_modes_.find(physical);
  return set == float_overflow_modes_.end() ? ACL_RT_OVERFLOW_MODE_SATURATION : set->second;
}

}  // namespace npu_ipc::sim
