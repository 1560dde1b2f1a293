// Reading JSON that others wrote: what is missing or of another type is empty.
#pragma once

#include <stdint.h>

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace npu_ipc::kubectl {

// The member, or an empty value that can be looked into and iterated over.
const nlohmann::json& Field(const nlohmann::json& object, const char* name);

template <class... Names>
const nlohmann::json& Field(const nlohmann::json& object, const char* name, Names... further) {
  return Field(Field(object, name), further...);
}

std::string Text(const nlohmann::json& object, const char* name);
std::optional<int64_t> Number(const nlohmann::json& object, const char* name);
bool IsTrue(const nlohmann::json& object, const char* name);

}  // namespace npu_ipc::kubectl
