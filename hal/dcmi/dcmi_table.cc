#include "hal/dcmi/dcmi_table.h"

#include <string>

namespace npu_ipc::hal {
namespace {

class Binder {
 public:
  explicit Binder(const SharedLibrary& library) : library_(library) {}

  template <class Fn>
  void Optional(Fn& entry, const char* symbol) {
    entry = library_.Find<Fn>(symbol);
  }

  template <class Fn>
  void Required(Fn& entry, const char* symbol) {
    Optional(entry, symbol);
    if (entry != nullptr) return;
    if (!missing_.empty()) missing_ += ", ";
    missing_ += symbol;
  }

  const std::string& missing() const { return missing_; }

 private:
  const SharedLibrary& library_;
  std::string missing_;
};

}  // namespace

Result<DcmiTable> BindDcmi(const SharedLibrary& library) {
  DcmiTable table;
  Binder binder(library);
  binder.Required(table.init, "dcmi_init");
  binder.Required(table.get_card_list, "dcmi_get_card_list");
  binder.Required(table.get_device_id_in_card, "dcmi_get_device_id_in_card");
  binder.Required(table.get_device_logic_id, "dcmi_get_device_logic_id");
  binder.Required(table.get_device_phyid_from_logicid, "dcmi_get_device_phyid_from_logicid");
  binder.Required(table.get_device_chip_info, "dcmi_get_device_chip_info");
  binder.Required(table.get_device_health, "dcmi_get_device_health");
  binder.Optional(table.get_driver_version, "dcmi_get_driver_version");
  binder.Optional(table.get_device_type, "dcmi_get_device_type");
  binder.Optional(table.get_device_chip_info_v2, "dcmi_get_device_chip_info_v2");
  binder.Optional(table.get_device_pcie_info_v2, "dcmi_get_device_pcie_info_v2");
  binder.Optional(table.get_device_board_info, "dcmi_get_device_board_info");
  binder.Optional(table.get_mainboard_id, "dcmi_get_mainboard_id");
  binder.Optional(table.get_device_die_v2, "dcmi_get_device_die_v2");
  binder.Optional(table.get_device_errorcode_v2, "dcmi_get_device_errorcode_v2");
  binder.Optional(table.get_device_temperature, "dcmi_get_device_temperature");
  binder.Optional(table.get_device_hbm_info, "dcmi_get_device_hbm_info");
  binder.Optional(table.get_device_utilization_rate, "dcmi_get_device_utilization_rate");
  binder.Optional(table.get_device_resource_info, "dcmi_get_device_resource_info");
  binder.Optional(table.get_topo_info_by_device_id, "dcmi_get_topo_info_by_device_id");
  binder.Optional(table.get_affinity_cpu_info_by_device_id,
                  "dcmi_get_affinity_cpu_info_by_device_id");
  binder.Optional(table.subscribe_fault_event, "dcmi_subscribe_fault_event");
  binder.Optional(table.get_device_share_enable, "dcmi_get_device_share_enable");
  binder.Optional(table.set_device_share_enable, "dcmi_set_device_share_enable");
  if (!binder.missing().empty()) {
    return Status(StatusCode::kFailedPrecondition,
                  library.name() + " lacks " + binder.missing() +
                      ": it is no libdcmi, or one of a driver that is too old");
  }
  return table;
}

}  // namespace npu_ipc::hal
