#include "hal/sim/libdcmi/node_view.h"

#include <errno.h>
#include <string.h>

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

int Ask(Request request, DriverReply* answer) {
  request.through_dcmi = 1;
  Result<DriverReply> called = Client().Call(request);
  if (!called.ok()) {
    return called.status().code() == StatusCode::kInternal ? DCMI_ERR_CODE_INNER_ERR
                                                           : DCMI_ERR_CODE_NOT_REDAY;
  }
  *answer = std::move(*called);
  return CodeOfReply(answer->reply);
}

int Ask(Operation operation, uint32_t device, DriverReply* answer) {
  Request request = {};
  request.operation = operation;
  request.device = device;
  return Ask(request, answer);
}

// A hint, held against every answer about a device, so that one call of DCMI is one question to the
// driver. A thread's own: there is no lock that a forked child could find taken.
thread_local NodeView last_view;

bool Find(int card, int device, uint32_t* physical_id) {
  for (uint32_t i = 0; i < last_view.count; ++i) {
    if (last_view.at[i].card != card || last_view.at[i].device != device) continue;
    *physical_id = last_view.at[i].physical_id;
    return true;
  }
  return false;
}

// What to say of a device that is not among those seen.
int CodeOfAbsence(int card, int device) {
  if (device > last_view.devices_in_card) return DCMI_ERR_CODE_INVALID_DEVICE_ID;
  bool card_is_there = false;
  for (uint32_t i = 0; i < last_view.count; ++i) {
    card_is_there |= last_view.at[i].card == card;
  }
  if (device == last_view.devices_in_card && card_is_there) return DCMI_ERR_CODE_NOT_SUPPORT;
  return last_view.occupied != 0 ? DCMI_ERR_CODE_RESOURCE_OCCUPIED : DCMI_ERR_CODE_DEVICE_NOT_EXIST;
}

}  // namespace

int CodeOfReply(const Reply& reply) {
  return reply.dcmi_code != 0 ? reply.dcmi_code : CodeOfErrno(reply.error);
}

int Look(const NodeView** view) {
  last_view = {};
  DriverReply hello;
  if (int code = Ask(Operation::kHello, 0, &hello); code != DCMI_OK) return code;
  NodeView seen;
  const HelloReply& node = hello.reply.hello;
  seen.connection = hello.connection;
  seen.devices_in_card = node.chip_family == kFamily910C ? 2 : 1;
  for (uint32_t i = 0; i < node.device_count; ++i) {
    seen.visible[seen.visible_count++] = node.devices[i];
    DriverReply answer;
    const int code = Ask(Operation::kDeviceRecord, node.devices[i], &answer);
    if (code == DCMI_ERR_CODE_RESOURCE_OCCUPIED) ++seen.occupied;
    if (code == DCMI_ERR_CODE_RESOURCE_OCCUPIED || code == DCMI_ERR_CODE_DEVICE_NOT_EXIST) continue;
    if (code != DCMI_OK) return code;
    const DeviceRecord& record = answer.reply.record;
    seen.at[seen.count++] = {static_cast<int>(record.card_id),
                             static_cast<int>(record.device_id_in_card), record.physical_id};
  }
  last_view = seen;
  *view = &last_view;
  return DCMI_OK;
}

int LastLook(const NodeView** view) {
  *view = &last_view;
  return last_view.connection != 0 ? DCMI_OK : Look(view);
}

int IsHostOrAdmin(bool* is) {
  DriverReply answer;
  const int code = Ask(Operation::kHello, 0, &answer);
  if (code == DCMI_OK) *is = answer.reply.hello.is_host_or_admin != 0;
  return code;
}

int GetDriverVersion(char (&version)[32]) {
  DriverReply answer;
  const int code = Ask(Operation::kHello, 0, &answer);
  if (code == DCMI_OK) memcpy(version, answer.reply.hello.driver_version, sizeof(version));
  return code;
}

int DescribeDevice(int card, int device, DeviceRecord* record) {
  if (card < 0 || device < 0) return DCMI_ERR_CODE_INVALID_DEVICE_ID;
  const NodeView* view = nullptr;
  bool looked_now = last_view.connection == 0;
  if (int code = LastLook(&view); code != DCMI_OK) return code;
  for (;;) {
    uint32_t physical_id = 0;
    int code = DCMI_ERR_CODE_DEVICE_NOT_EXIST;
    if (Find(card, device, &physical_id)) {
      DriverReply answer;
      code = Ask(Operation::kDeviceRecord, physical_id, &answer);
      *record = answer.reply.record;
      if (code == DCMI_OK && answer.connection == last_view.connection &&
          record->card_id == static_cast<uint32_t>(card) &&
          record->device_id_in_card == static_cast<uint32_t>(device)) {
        return DCMI_OK;
      }
      if (code == DCMI_OK) code = DCMI_ERR_CODE_DEVICE_NOT_EXIST;  // it is another device now
    }
    if (code != DCMI_ERR_CODE_DEVICE_NOT_EXIST) return code;
    if (looked_now) return CodeOfAbsence(card, device);
    if (int looked = Look(&view); looked != DCMI_OK) return looked;
    looked_now = true;
  }
}

int DescribeLink(int card_a, int device_a, int card_b, int device_b, int* topology) {
  Request request = {};
  request.operation = Operation::kDeviceLink;
  DriverReply answer;
  if (Find(card_a, device_a, &request.device) && Find(card_b, device_b, &request.peer) &&
      Ask(request, &answer) == DCMI_OK && answer.connection == last_view.connection) {
    *topology = static_cast<int>(answer.reply.value32);
    return DCMI_OK;
  }
  // They are not as they were seen: what is said of each by itself comes first.
  DeviceRecord a;
  if (int code = DescribeDevice(card_a, device_a, &a); code != DCMI_OK) return code;
  DeviceRecord b;
  if (int code = DescribeDevice(card_b, device_b, &b); code != DCMI_OK) return code;
  request.device = a.physical_id;
  request.peer = b.physical_id;
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
