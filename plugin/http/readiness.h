// Why a daemon is not ready, in words, from any thread.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "plugin/http/server.h"

namespace npu_ipc::http {

// Safe for concurrent use. Ready while no component has a problem; a daemon that starts sets the
// problems that it knows it has ("starting") before it serves.
class Readiness {
 public:
  // An empty `problem` means that the component is well.
  void Set(const std::string& component, const std::string& problem);

  // 200 "ready", or 503 with one line "component: problem" for each. Then a line "note: component:
  // text" for each of `notes` that is not empty: what is missing and does no harm.
  Response Report(const std::map<std::string, std::string>& notes = {}) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> problems_;  // guarded by mutex_
};

}  // namespace npu_ipc::http
