#include "plugin/device/fault_table.h"

#include <charconv>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "hal/base/process.h"
#include "plugin/device/built_in_fault_codes.h"

namespace npu_ipc::device {
namespace {

using nlohmann::json;

Status Refuse(const std::string& what) { return {StatusCode::kInvalidArgument, what}; }

// "0x80E18402", of one to eight digits.
std::optional<uint32_t> ParseCode(const std::string& text) {
  uint32_t code = 0;
  if (!text.starts_with("0x") && !text.starts_with("0X")) return std::nullopt;
  const char* begin = text.data() + 2;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(begin, end, code, 16);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return code;
}

std::optional<FaultEffect> ParseEffect(const json& value) {
  if (value == "ignore") return FaultEffect::kIgnore;
  if (value == "degraded") return FaultEffect::kDegraded;
  if (value == "unhealthy") return FaultEffect::kUnhealthy;
  return std::nullopt;
}

std::string CodeText(uint32_t code) {
  char digits[9] = {};
  std::to_chars(digits, digits + sizeof(digits) - 1, code, 16);
  return std::string("0x") + digits;
}

std::string DriverText(const hal::DeviceHealth& health) {
  std::string text = std::string("the driver reports ") + hal::HealthLevelName(health.level);
  for (const uint32_t code : health.fault_codes) text += " " + CodeText(code);
  return text;
}

}  // namespace

FaultTable::FaultTable() {
  if (Result<FaultTable> built_in = Parse(kBuiltInFaultCodes); built_in.ok()) {
    *this = std::move(*built_in);
  }
}

Result<FaultTable> FaultTable::Parse(const std::string& text) {
  const json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) return Refuse("not valid JSON");
  if (!document.is_object() || document.size() != 1 || !document.contains("codes") ||
      !document["codes"].is_object()) {
    return Refuse("one object is needed: {\"codes\": {\"0x80E18402\": \"unhealthy\"}}");
  }
  std::map<uint32_t, FaultEffect> effects;
  for (const auto& [name, value] : document["codes"].items()) {
    const std::optional<uint32_t> code = ParseCode(name);
    if (!code) return Refuse("'" + name + "' is no fault code; 0x and up to 8 digits are needed");
    const std::optional<FaultEffect> effect = ParseEffect(value);
    if (!effect) {
      return Refuse(name + ": " + value.dump(-1, ' ', true, json::error_handler_t::replace) +
                    " is not accepted; accepted: ignore, degraded, unhealthy");
    }
    if (!effects.emplace(*code, *effect).second) return Refuse(name + " is listed twice");
  }
  return FaultTable(std::move(effects));
}

Result<FaultTable> FaultTable::Read(const std::string& path) {
  const Result<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status().WithContext("fault table");
  Result<FaultTable> table = Parse(*text);
  return table.ok() ? std::move(table) : table.status().WithContext("fault table " + path);
}

std::string FaultTable::Judge(const hal::DeviceHealth& health) const {
  const bool is_critical = health.level == hal::HealthLevel::kCritical;
  if (health.level == hal::HealthLevel::kAbsent) return DriverText(health);
  bool all_are_less = !health.fault_codes.empty();
  for (const uint32_t code : health.fault_codes) {
    const auto found = effects_.find(code);
    if (found == effects_.end()) {
      all_are_less = false;
    } else if (found->second == FaultEffect::kUnhealthy) {
      return DriverText(health);
    }
  }
  return is_critical && !all_are_less ? DriverText(health) : "";
}

std::string FaultTable::Degradation(const hal::DeviceHealth& health) const {
  std::string text;
  for (const uint32_t code : health.fault_codes) {
    const auto found = effects_.find(code);
    if (found == effects_.end() || found->second != FaultEffect::kDegraded) continue;
    text += (text.empty() ? "" : " ") + CodeText(code);
  }
  return text;
}

}  // namespace npu_ipc::device
