// Which of the families that are served a chip belongs to.
#pragma once

#include <stdint.h>

#include <optional>
#include <string>

#include "npu_ipc/hal/device_manager.h"

namespace npu_ipc::hal {

// What DCMI says of a chip, and of the boards that it sits on where it says so.
struct ChipIdentity {
  std::string chip_name;  // "910B3"; a 910C may say no more than "Ascend910"
  std::string npu_name;   // dcmi_chip_info_v2
  std::optional<uint32_t> board_id;
  std::optional<uint32_t> mainboard_id;
};

// A name that tells its family decides; board ids do where it does not, since 910A and 910C may
// both call themselves Ascend910. Empty for every other family.
std::optional<ChipFamily> RecognizeFamily(const ChipIdentity& identity);

// True where RecognizeFamily needs a board id to tell.
bool NameIsAmbiguous(const ChipIdentity& identity);

}  // namespace npu_ipc::hal
