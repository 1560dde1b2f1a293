#include "plugin/http/readiness.h"

namespace npu_ipc::http {

void Readiness::Set(const std::string& component, const std::string& problem) {
  const std::lock_guard lock(mutex_);
  if (problem.empty()) {
    problems_.erase(component);
  } else {
    problems_[component] = problem;
  }
}

Response Readiness::Report() const {
  const std::lock_guard lock(mutex_);
  Response response;
  if (problems_.empty()) {
    response.body = "ready\n";
    return response;
  }
  response.status = 503;
  for (const auto& [component, problem] : problems_) {
    response.body += component + ": " + problem + "\n";
  }
  return response;
}

}  // namespace npu_ipc::http
