#include "plugin/kubelet/resource_name.h"

#include <string>

namespace npu_ipc::kubelet {
namespace {

bool IsNamePart(std::string_view text, size_t longest) {
  constexpr std::string_view kEnds =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  constexpr std::string_view kInner = "-_.";
  if (text.empty() || text.size() > longest) return false;
  for (const char c : text) {
    if (kEnds.find(c) == std::string_view::npos && kInner.find(c) == std::string_view::npos) {
      return false;
    }
  }
  return kEnds.find(text.front()) != std::string_view::npos &&
         kEnds.find(text.back()) != std::string_view::npos;
}

}  // namespace

Status CheckResourceName(std::string_view setting, std::string_view name) {
  const size_t slash = name.find('/');
  const std::string_view domain = name.substr(0, slash);
  const bool valid = slash != std::string_view::npos && IsNamePart(domain, 245) &&
                     IsNamePart(name.substr(slash + 1), 63) &&
                     domain.find("kubernetes.io") == std::string_view::npos &&
                     !domain.starts_with("requests.");
  if (valid) return Status::Ok();
  return {StatusCode::kInvalidArgument,
          std::string(setting) + " is '" + std::string(name) +
              "'; a name like huawei.com/Ascend910 is needed, outside kubernetes.io"};
}

}  // namespace npu_ipc::kubelet
