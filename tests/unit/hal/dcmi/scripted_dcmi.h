// A DcmiTable whose functions answer from a script that a test writes.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "hal/dcmi/dcmi_table.h"

namespace npu_ipc::hal {

struct ScriptedChip {
  dcmi_unit_type type = NPU_TYPE;
  std::string chip_name = "910B3";
  std::string npu_name;
  int logical_id = 0;
  unsigned int physical_id = 0;
  unsigned int board_id = 0;
  unsigned int mainboard_id = 0;
  unsigned int health = 0;
  std::vector<unsigned int> faults;
  dcmi_die_id die = {{1, 2, 3, 4, 5}};
  dcmi_pcie_info_all pci = {};
  dcmi_hbm_info memory = {65536, 1600, 1024, 45, 12};
  std::string cpus;
  int share = 0;
};

// What the driver says. One at a time: the functions of the table are plain functions and find it
// through a static. Not thread safe while it is changed.
class ScriptedDcmi {
 public:
  ScriptedDcmi();
  ~ScriptedDcmi();
  ScriptedDcmi(const ScriptedDcmi&) = delete;
  ScriptedDcmi& operator=(const ScriptedDcmi&) = delete;

  // Every entry set.
  static DcmiTable Table();

  // `cards` 910B3 cards of one chip each, all ids equal to the card's.
  void Make910B(int cards);
  // `modules` 910C modules of two dies.
  void Make910C(int modules);

  // What `call` ("dcmi_get_device_health") returns for a device, or for all with device -1.
  void Fail(const std::string& call, int code, int card = -1, int device = -1);

  int init_code = DCMI_OK;
  int card_count = 0;  // what the driver claims
  std::vector<int> cards;
  struct Card {
    int device_id_max = 0;
    int mcu_id = -1;
    int cpu_id = -1;
  };
  std::map<int, Card> card_info;
  std::map<std::pair<int, int>, ScriptedChip> chips;
  int topology = DCMI_TOPO_TYPE_HCCS;
  std::vector<dcmi_proc_mem_info> processes;
  int process_count = 0;
  int fault_count = -1;           // what the driver claims; -1: as many as there are
  unsigned int utilization = 17;  // AI core; the others are 99

  // Has the vendor's callback called with `event`, as DCMI's thread would. The callback is that of
  // the process, whichever test subscribed it.
  static void Report(const dcmi_dms_fault_event& event);

  // DCMI_OK, or what Fail asked for.
  int CodeOf(const std::string& call, int card, int device) const;

 private:
  std::map<std::string, std::map<std::pair<int, int>, int>> failures_;
};

}  // namespace npu_ipc::hal
