// A benchmark on a node of its own.
#pragma once

#include <functional>
#include <iostream>
#include <string>

#include <nlohmann/json.hpp>

#include "hal/base/result.h"
#include "tests/fixtures/node_box.h"

namespace npu_ipc {

// Runs `measure` as RunInNodeBoxWithCgroup() does, and prints what it returns. The program's exit
// status: 1, with the reason on standard error, where there is nothing to print.
inline int PrintMeasuredInNodeBox(
    const std::function<Result<nlohmann::json>(const std::string& cgroup)>& measure) {
  return RunInNodeBoxWithCgroup([&](const std::string& cgroup) {
    const Result<nlohmann::json> measured = measure(cgroup);
    if (!measured.ok()) {
      std::cerr << measured.status().message() << std::endl;
      return 1;
    }
    std::cout << measured->dump(2) << std::endl;
    return 0;
  });
}

}  // namespace npu_ipc
