#include "hal/sim/driver/json_object.h"

#include <charconv>
#include <utility>

namespace npu_ipc::sim {
namespace {

using nlohmann::json;

const json& EmptyObject() {
  static const json& empty = *new json(json::object());
  return empty;
}

const json& EmptyArray() {
  static const json& empty = *new json(json::array());
  return empty;
}

// A value as an error shows it: short, whatever the file holds.
std::string Shown(const json& value) {
  constexpr size_t kLimit = 60;
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kLimit) text = text.substr(0, kLimit) + "...";
  return text;
}

}  // namespace

JsonObject::JsonObject(const json& value, std::string path, Status* status)
    : json_(value.is_object() ? value : EmptyObject()), path_(std::move(path)), status_(status) {
  if (!value.is_object() && status_->ok()) {
    *status_ =
        Status(StatusCode::kInvalidArgument, path_ + ": expected an object, found " + Shown(value));
  }
}

void JsonObject::Fail(const std::string& key, const std::string& expected) {
  if (!status_->ok()) return;
  const auto found = json_.find(key);
  *status_ = Status(StatusCode::kInvalidArgument,
                    path_ + "." + key + ": expected " + expected + ", found " +
                        (found == json_.end() ? "nothing" : Shown(*found)));
}

const json* JsonObject::Find(const char* key, const std::string& expected) {
  known_.insert(key);
  const auto found = json_.find(key);
  if (found == json_.end()) {
    Fail(key, expected);
    return nullptr;
  }
  return &*found;
}

std::string JsonObject::Text(const char* key, size_t limit) {
  const std::string expected = "text of 1 to " + std::to_string(limit) + " bytes";
  const json* value = Find(key, expected);
  if (value == nullptr) return {};
  if (!value->is_string() || value->get_ref<const std::string&>().empty() ||
      value->get_ref<const std::string&>().size() > limit) {
    Fail(key, expected);
    return {};
  }
  return value->get<std::string>();
}

int64_t JsonObject::Number(const char* key, int64_t lowest, int64_t highest) {
  const std::string expected =
      "a whole number from " + std::to_string(lowest) + " to " + std::to_string(highest);
  const json* value = Find(key, expected);
  if (value == nullptr) return lowest;
  const bool too_large =
      value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  if (!value->is_number_integer() || too_large || value->get<int64_t>() < lowest ||
      value->get<int64_t>() > highest) {
    Fail(key, expected);
    return lowest;
  }
  return value->get<int64_t>();
}

uint64_t JsonObject::Hexadecimal(const char* key, uint64_t highest) {
  const std::string expected = "text like \"0x1f\"";
  const json* value = Find(key, expected);
  if (value == nullptr) return 0;
  uint64_t number = 0;
  bool valid = false;
  if (value->is_string()) {
    const std::string& text = value->get_ref<const std::string&>();
    const char* const end = text.data() + text.size();
    if (text.size() > 2 && text.compare(0, 2, "0x") == 0) {
      const auto parsed = std::from_chars(text.data() + 2, end, number, 16);
      valid = parsed.ec == std::errc() && parsed.ptr == end && number <= highest;
    }
  }
  if (!valid) Fail(key, expected);
  return valid ? number : 0;
}

JsonObject JsonObject::Object(const char* key) {
  const json* value = Find(key, "an object");
  return JsonObject(value == nullptr ? EmptyObject() : *value, path_ + "." + key, status_);
}

const json& JsonObject::Array(const char* key) {
  const json* value = Find(key, "a list");
  if (value == nullptr) return EmptyArray();
  if (!value->is_array()) {
    Fail(key, "a list");
    return EmptyArray();
  }
  return *value;
}

void JsonObject::RejectUnknownKeys() {
  if (!status_->ok()) return;
  for (const auto& item : json_.items()) {
    if (known_.count(item.key()) != 0) continue;
    std::string accepted;
    for (const std::string& key : known_) accepted += (accepted.empty() ? "" : ", ") + key;
    *status_ = Status(StatusCode::kInvalidArgument,
                      path_ + ": unknown key \"" + item.key() + "\"; accepted: " + accepted);
    return;
  }
}

}  // namespace npu_ipc::sim
