#include "plugin/kubectl/fields.h"

#include "hal/base/no_destructor.h"

namespace npu_ipc::kubectl {

using Json = nlohmann::json;

const Json& Field(const Json& object, const char* name) {
  static const NoDestructor<Json> nothing;
  if (!object.is_object()) return *nothing;
  const auto found = object.find(name);
  return found == object.end() ? *nothing : *found;
}

std::string Text(const Json& object, const char* name) {
  const Json& value = Field(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::optional<int64_t> Number(const Json& object, const char* name) {
  const Json& value = Field(object, name);
  if (!value.is_number()) return std::nullopt;
  return value.get<int64_t>();
}

bool IsTrue(const Json& object, const char* name) {
  const Json& value = Field(object, name);
  return value.is_boolean() && value.get<bool>();
}

}  // namespace npu_ipc::kubectl
