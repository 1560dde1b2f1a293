#include "plugin/config/checks.h"

namespace npu_ipc::config {

Status CheckAbsolutePath(std::string_view key, const std::string& path) {
  if (path.starts_with('/')) return Status::Ok();
  return {StatusCode::kInvalidArgument,
          std::string(key) + " '" + path + "' is not an absolute path"};
}

Status FirstFailure(std::initializer_list<Status> checks) {
  for (const Status& check : checks) {
    if (!check.ok()) return check;
  }
  return Status::Ok();
}

}  // namespace npu_ipc::config
