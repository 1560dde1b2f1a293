// The simulator's libdcmi.so: health, use, topology and sharing.
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "hal/dcmi/dcmi_interface_api.h"
#include "hal/sim/libdcmi/fault_events.h"
#include "hal/sim/libdcmi/node_view.h"

using npu_ipc::sim::DescribeDevice;
using npu_ipc::sim::DescribeLink;
using npu_ipc::sim::DeviceRecord;
using npu_ipc::sim::LastLook;
using npu_ipc::sim::NodeView;
using npu_ipc::sim::ProcessList;

int dcmi_get_device_health(int card_id, int device_id, unsigned int* health) {
  if (health == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  const int code = DescribeDevice(card_id, device_id, &record);
  if (code == DCMI_OK) *health = record.health;
  return code;
}

int dcmi_get_device_errorcode_v2(int card_id, int device_id, int* error_count,
                                 unsigned int* error_code_list, unsigned int list_len) {
  if (error_count == nullptr || error_code_list == nullptr || list_len == 0) {
    return DCMI_ERR_CODE_INVALID_PARAMETER;
  }
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  const unsigned int count = std::min(record.fault_count, list_len);
  std::copy_n(record.fault_codes, count, error_code_list);
  *error_count = static_cast<int>(count);
  return DCMI_OK;
}

int dcmi_get_device_temperature(int card_id, int device_id, int* temperature) {
  if (temperature == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  const int code = DescribeDevice(card_id, device_id, &record);
  if (code == DCMI_OK) *temperature = record.temperature_celsius;
  return code;
}

int dcmi_get_device_hbm_info(int card_id, int device_id, struct dcmi_hbm_info* hbm_info) {
  if (hbm_info == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  *hbm_info = {};
  hbm_info->memory_size = record.memory_total_bytes >> 20;
  hbm_info->memory_usage = record.memory_used_bytes >> 20;
  hbm_info->freq = record.memory_frequency_mhz;
  hbm_info->temp = record.temperature_celsius;
  hbm_info->bandwith_util_rate = record.utilization_percent[DCMI_UTILIZATION_RATE_HBM_BANDWIDTH];
  return DCMI_OK;
}

int dcmi_get_device_utilization_rate(int card_id, int device_id, int input_type,
                                     unsigned int* utilization_rate) {
  constexpr int kSupported[] = {DCMI_UTILIZATION_RATE_AICORE,
                                DCMI_UTILIZATION_RATE_AICPU,
                                DCMI_UTILIZATION_RATE_CTRLCPU,
                                DCMI_UTILIZATION_RATE_HBM,
                                DCMI_UTILIZATION_RATE_HBM_BANDWIDTH,
                                DCMI_UTILIZATION_RATE_VECTORCORE,
                                DCMI_UTILIZATION_RATE_NPU};
  if (utilization_rate == nullptr || input_type < DCMI_UTILIZATION_RATE_DDR ||
      input_type > DCMI_UTILIZATION_RATE_AICUBE) {
    return DCMI_ERR_CODE_INVALID_PARAMETER;
  }
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  if (std::find(std::begin(kSupported), std::end(kSupported), input_type) == std::end(kSupported)) {
    return DCMI_ERR_CODE_NOT_SUPPORT;
  }
  *utilization_rate = record.utilization_percent[input_type];
  return DCMI_OK;
}

int dcmi_get_device_resource_info(int card_id, int device_id, struct dcmi_proc_mem_info* proc_info,
                                  int* proc_num) {
  if (proc_info == nullptr || proc_num == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  ProcessList list;
  if (int code = npu_ipc::sim::ListProcesses(record.physical_id, &list); code != DCMI_OK) {
    return code;
  }
  for (uint32_t i = 0; i < list.count; ++i) {
    proc_info[i] = {list.processes[i].host_pid, list.processes[i].memory_bytes};
  }
  *proc_num = static_cast<int>(list.count);
  return DCMI_OK;
}

int dcmi_subscribe_fault_event(int card_id, int device_id, struct dcmi_event_filter filter,
                               dcmi_fault_event_callback handler) {
  bool host_or_admin = false;
  if (int code = npu_ipc::sim::IsHostOrAdmin(&host_or_admin); code != DCMI_OK) return code;
  if (!host_or_admin && ::geteuid() != 0) return DCMI_ERR_CODE_OPER_NOT_PERMITTED;
  if (handler == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  int logical_id = -1;
  if (card_id != -1 || device_id != -1) {
    if (int code = dcmi_get_device_logic_id(&logical_id, card_id, device_id); code != DCMI_OK) {
      return code;
    }
  }
  return npu_ipc::sim::SubscribeFaultEvents(logical_id, filter, handler);
}

int dcmi_get_topo_info_by_device_id(int card_id1, int device_id1, int card_id2, int device_id2,
                                    int* topo_type) {
  if (topo_type == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  return DescribeLink(card_id1, device_id1, card_id2, device_id2, topo_type);
}

int dcmi_get_affinity_cpu_info_by_device_id(int card_id, int device_id, char* affinity_cpu,
                                            int* length) {
  if (affinity_cpu == nullptr || length == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  const NodeView* view = nullptr;
  if (int code = LastLook(&view); code != DCMI_OK) return code;
  // Supported on 910B, and on 910C of one main board alone (driver: dcmi_npu_link_intf.c).
  if (view->devices_in_card != 1) return DCMI_ERR_CODE_NOT_SUPPORT;
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  const size_t bytes = strnlen(record.cpu_affinity, sizeof(record.cpu_affinity) - 1);
  memcpy(affinity_cpu, record.cpu_affinity, bytes);
  affinity_cpu[bytes] = '\0';
  *length = static_cast<int>(bytes);
  return DCMI_OK;
}

int dcmi_get_device_share_enable(int card_id, int device_id, int* enable_flag) {
  if (enable_flag == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  const int code = DescribeDevice(card_id, device_id, &record);
  if (code == DCMI_OK) *enable_flag = static_cast<int>(record.device_share);
  return code;
}

int dcmi_set_device_share_enable(int card_id, int device_id, int enable_flag) {
  if (enable_flag != 0 && enable_flag != 1) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  return npu_ipc::sim::SetDeviceShare(record.physical_id, enable_flag == 1);
}
