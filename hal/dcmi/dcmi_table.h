// DCMI's functions as a table of pointers, filled from a library at run time or by a test.
#pragma once

#include "hal/base/result.h"
#include "hal/base/shared_library.h"
#include "hal/dcmi/dcmi_interface_api.h"

namespace npu_ipc::hal {

struct DcmiTable {
  // Required: without these there is no device to speak of.
  decltype(&::dcmi_init) init = nullptr;
  decltype(&::dcmi_get_card_list) get_card_list = nullptr;
  decltype(&::dcmi_get_device_id_in_card) get_device_id_in_card = nullptr;
  decltype(&::dcmi_get_device_logic_id) get_device_logic_id = nullptr;
  decltype(&::dcmi_get_device_phyid_from_logicid) get_device_phyid_from_logicid = nullptr;
  decltype(&::dcmi_get_device_chip_info) get_device_chip_info = nullptr;
  decltype(&::dcmi_get_device_health) get_device_health = nullptr;

  // Optional: null where the installed driver lacks it, and then the one thing that rests on it is
  // missing too.
  decltype(&::dcmi_get_driver_version) get_driver_version = nullptr;
  decltype(&::dcmi_get_device_type) get_device_type = nullptr;
  decltype(&::dcmi_get_device_chip_info_v2) get_device_chip_info_v2 = nullptr;
  decltype(&::dcmi_get_device_pcie_info_v2) get_device_pcie_info_v2 = nullptr;
  decltype(&::dcmi_get_device_board_info) get_device_board_info = nullptr;
  decltype(&::dcmi_get_mainboard_id) get_mainboard_id = nullptr;
  decltype(&::dcmi_get_device_die_v2) get_device_die_v2 = nullptr;
  decltype(&::dcmi_get_device_errorcode_v2) get_device_errorcode_v2 = nullptr;
  decltype(&::dcmi_get_device_temperature) get_device_temperature = nullptr;
  decltype(&::dcmi_get_device_hbm_info) get_device_hbm_info = nullptr;
  decltype(&::dcmi_get_device_utilization_rate) get_device_utilization_rate = nullptr;
  decltype(&::dcmi_get_device_resource_info) get_device_resource_info = nullptr;
  decltype(&::dcmi_get_topo_info_by_device_id) get_topo_info_by_device_id = nullptr;
  decltype(&::dcmi_get_affinity_cpu_info_by_device_id) get_affinity_cpu_info_by_device_id = nullptr;
  decltype(&::dcmi_subscribe_fault_event) subscribe_fault_event = nullptr;
  decltype(&::dcmi_get_device_share_enable) get_device_share_enable = nullptr;
  decltype(&::dcmi_set_device_share_enable) set_device_share_enable = nullptr;
};

// kFailedPrecondition naming the library and every required function that it lacks.
Result<DcmiTable> BindDcmi(const SharedLibrary& library);

}  // namespace npu_ipc::hal
