// A whole run of `kubectl npu`.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace npu_ipc::kubectl {

struct Console {
  std::ostream& out;
  std::ostream& error;
};

// `arguments` are those after the program's name. Exit code 0; 1 for every error, as kubectl has
// it: of the command line, where nothing could be had, where doctor finds a step that fails, and
// where audit finds something critical. A node that does not answer is said on `error` and no
// failure as long as another does.
int Run(const std::vector<std::string>& arguments, const Console& console);

}  // namespace npu_ipc::kubectl
