#include "hal/dcmi/chip_family.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace npu_ipc::hal {
namespace {

// mind-cluster (component/ascend-common/devmanager/common): boards and main boards of Atlas A3.
constexpr uint32_t kBoards910C[] = {0xb0, 0xb1, 0xb2, 0xb3, 0x81, 0x83, 0xd1, 0xd3};
constexpr uint32_t kMainBoards910C[] = {0x18, 0x19, 0x1c, 0x1d, 0x14};

template <size_t N>
bool Contains(const uint32_t (&list)[N], std::optional<uint32_t> value) {
  return value.has_value() && std::find(std::begin(list), std::end(list), *value) != std::end(list);
}

std::string_view WithoutVendor(std::string_view name) {
  constexpr std::string_view kVendor = "Ascend";
  if (name.substr(0, kVendor.size()) == kVendor) name.remove_prefix(kVendor.size());
  return name;
}

// `prefix` and a digit, as mind-cluster's pattern has it.
bool StartsWithModel(std::string_view name, std::string_view prefix) {
  return name.size() > prefix.size() && name.substr(0, prefix.size()) == prefix &&
         name[prefix.size()] >= '0' && name[prefix.size()] <= '9';
}

std::optional<ChipFamily> FamilyOfName(std::string_view name) {
  name = WithoutVendor(name);
  if (StartsWithModel(name, "910B") || StartsWithModel(name, "A2G")) return ChipFamily::kAscend910B;
  if (StartsWithModel(name, "910_93")) return ChipFamily::kAscend910C;
  return std::nullopt;
}

}  // namespace

bool NameIsAmbiguous(const ChipIdentity& identity) {
  return !FamilyOfName(identity.chip_name) && !FamilyOfName(identity.npu_name) &&
         WithoutVendor(identity.chip_name) == "910";
}

std::optional<ChipFamily> RecognizeFamily(const ChipIdentity& identity) {
  if (auto family = FamilyOfName(identity.chip_name)) return family;
  if (auto family = FamilyOfName(identity.npu_name)) return family;
  if (NameIsAmbiguous(identity) && (Contains(kBoards910C, identity.board_id) ||
                                    Contains(kMainBoards910C, identity.mainboard_id))) {
    return ChipFamily::kAscend910C;
  }
  return std::nullopt;
}

}  // namespace npu_ipc::hal
