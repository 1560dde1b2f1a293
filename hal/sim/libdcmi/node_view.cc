#include "hal/sim/libdcmi/node_view.h"

#include <errno.h>

#include "hal/base/no_destructor.h"
#include "hal/dcmi/dcmi_interface_api.h"
#include "hal/sim/driver/client.h"

namespace npu_ipc::sim {
namespace {

constexpr uint32_t kFamily910C = 1;  // HelloReply::chip_family

int CodeOfErrno(int error) {
  switch (error) {
    case 0:
      return DCMI_OK;
    case EINVAL:
      return DCMI_ERR_CODE_INVALID_PARAMETER;
    case EPERM:
    case EACCES:
      return DCMI_ERR_CODE_OPER_NOT_PERMITTED;
    case ENOMEM:
      return DCMI_ERR_CODE_MEM_OPERATE_FAIL;
    case ETIMEDOUT:
      return DCMI_ERR_CODE_TIME_OUT;
    case ENODEV:
    case ENXIO:
      return DCMI_ERR_CODE_DEVICE_NOT_EXIST;
    case EBUSY:
      return DCMI_ERR_CODE_RESOURCE_OCCUPIED;
    case EOPNOTSUPP:
      return DCMI_ERR_CODE_NOT_SUPPORT;
    default:
      return DCMI_ERR_CODE_IOCTL_FAIL;
  }
}

DriverClient& Client() {
  static NoDestructor<DriverClient> client([] {
    Result<std::string> path = DriverSocketPath();
    return path.ok() ? *path : std::string(kSocketFileName);
  }());
  return *client;
}

int Ask(const Request& request, DriverReply* answer) {
  Result<DriverReply> called = Client().Call(request);
  if (!called.ok()) {
    return called.status().code() == StatusCode::kInternal ? DCMI_ERR_CODE_INNER_ERR
                                                           : DCMI_ERR_CODE_NOT_REDAY;
  }
  *answer = std::move(*called);
  return CodeOfErrno(answer->reply.error);
}

int Ask(Operation operation, uint32_t device, DriverReply* answer) {
  Request request = {};
  request.operation = operation;
  request.device = device;
  return Ask(request, answer);
}

// Where the devices were when this thread last looked. A hint, held against every answer, so that
// one call of DCMI is one question to the driver. A thread's own: there is no lock that a forked
// child could find taken.
struct Placement {
  uint64_t connection;  // 0: never looked
  int devices_in_card;
  uint32_t count;
  uint32_t occupied;
  struct {
    uint32_t card;
    uint32_t device;
    uint32_t physical_id;
  } at[kMaxDevices];
};
thread_local Placement placement;

int Look() {
  placement = {};
  DriverReply hello;
  if (int code = Ask(Operation::kHello, 0, &hello); code != DCMI_OK) return code;
  const HelloReply node = hello.reply.hello;
  for (uint32_t i = 0; i < node.device_count; ++i) {
    DriverReply answer;
    const int code = Ask(Operation::kDeviceRecord, node.devices[i], &answer);
    if (code == DCMI_ERR_CODE_RESOURCE_OCCUPIED) ++placement.occupied;
    if (code == DCMI_ERR_CODE_RESOURCE_OCCUPIED || code == DCMI_ERR_CODE_DEVICE_NOT_EXIST) continue;
    if (code != DCMI_OK) return code;
    const DeviceRecord& record = answer.reply.record;
    placement.at[placement.count++] = {record.card_id, record.device_id_in_card,
                                       record.physical_id};
  }
  placement.devices_in_card = DevicesInCard(node);
  placement.connection = hello.connection;
  return DCMI_OK;
}

bool Find(int card, int device, uint32_t* physical_id) {
  for (uint32_t i = 0; i < placement.count; ++i) {
    if (placement.at[i].card != static_cast<uint32_t>(card) ||
        placement.at[i].device != static_cast<uint32_t>(device)) {
      continue;
    }
    *physical_id = placement.at[i].physical_id;
    return true;
  }
  return false;
}

// What to say of a device that is not among those seen.
int CodeOfAbsence(int card, int device) {
  if (device > placement.devices_in_card) return DCMI_ERR_CODE_INVALID_DEVICE_ID;
  bool card_is_there = false;
  for (uint32_t i = 0; i < placement.count; ++i) {
    card_is_there |= placement.at[i].card == static_cast<uint32_t>(card);
  }
  if (device == placement.devices_in_card && card_is_there) return DCMI_ERR_CODE_NOT_SUPPORT;
  return placement.occupied != 0 ? DCMI_ERR_CODE_RESOURCE_OCCUPIED : DCMI_ERR_CODE_DEVICE_NOT_EXIST;
}

}  // namespace

int DescribeNode(HelloReply* node) {
  DriverReply answer;
  const int code = Ask(Operation::kHello, 0, &answer);
  if (code == DCMI_OK) *node = answer.reply.hello;
  return code;
}

int DevicesInCard(const HelloReply& node) { return node.chip_family == kFamily910C ? 2 : 1; }

int DescribeCards(CardList* list) {
  if (int code = Look(); code != DCMI_OK) return code;
  *list = {};
  list->occupied_devices = placement.occupied;
  for (uint32_t i = 0; i < placement.count; ++i) {
    const int card = static_cast<int>(placement.at[i].card);
    uint32_t known = 0;
    while (known < list->count && list->cards[known].card != card) ++known;
    if (known == list->count) list->cards[list->count++] = {card, 0};
    ++list->cards[known].visible_devices;
  }
  return DCMI_OK;
}

int DescribeDevice(int card, int device, DeviceRecord* record) {
  if (card < 0 || device < 0) return DCMI_ERR_CODE_INVALID_DEVICE_ID;
  bool looked_now = placement.connection == 0;
  if (looked_now) {
    if (int code = Look(); code != DCMI_OK) return code;
  }
  for (;;) {
    uint32_t physical_id = 0;
    int code = DCMI_ERR_CODE_DEVICE_NOT_EXIST;
    if (Find(card, device, &physical_id)) {
      DriverReply answer;
      code = Ask(Operation::kDeviceRecord, physical_id, &answer);
      *record = answer.reply.record;
      if (code == DCMI_OK && answer.connection == placement.connection &&
          record->card_id == static_cast<uint32_t>(card) &&
          record->device_id_in_card == static_cast<uint32_t>(device)) {
        return DCMI_OK;
      }
      if (code == DCMI_OK) code = DCMI_ERR_CODE_DEVICE_NOT_EXIST;  // it is another device now
    }
    if (code != DCMI_ERR_CODE_DEVICE_NOT_EXIST) return code;
    if (looked_now) return CodeOfAbsence(card, device);
    if (int looked = Look(); looked != DCMI_OK) return looked;
    looked_now = true;
  }
}

int DescribeLink(uint32_t physical_id_a, uint32_t physical_id_b, int* topology) {
  Request request = {};
  request.operation = Operation::kDeviceLink;
  request.device = physical_id_a;
  request.peer = physical_id_b;
  DriverReply answer;
  const int code = Ask(request, &answer);
  if (code == DCMI_OK) *topology = static_cast<int>(answer.reply.value32);
  return code;
}

int ListProcesses(uint32_t physical_id, ProcessList* processes) {
  DriverReply answer;
  const int code = Ask(Operation::kDeviceProcesses, physical_id, &answer);
  if (code == DCMI_OK) *processes = answer.reply.processes;
  return code;
}

int SetDeviceShare(uint32_t physical_id, bool enabled) {
  Request request = {};
  request.operation = Operation::kSetDeviceShare;
  request.device = physical_id;
  request.value32 = enabled ? 1 : 0;
  DriverReply answer;
  return Ask(request, &answer);
}

}  // namespace npu_ipc::sim
