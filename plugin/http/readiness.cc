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

Response Readiness::Report(const std::map<std::string, std::string>& notes) const {
  Response response;
  {
    const std::lock_guard lock(mutex_);
    response.status = problems_.empty() ? 200 : 503;
    if (problems_.empty()) response.body = "ready\n";
    for (const auto& [component, problem] : problems_) {
      response.body += component + ": " + problem + "\n";
    }
  }
  for (const auto& [component, text] : notes) {
    if (!text.empty()) response.body += "note: " + component + ": " + text + "\n";
  }
  return response;
}

}  // namespace npu_ipc::http
