// Runs many commands, a few at a time.
#pragma once

#include <stddef.h>

#include <chrono>
#include <string>
#include <vector>

namespace npu_ipc::kubectl {

struct Command {
  std::vector<std::string> arguments;  // [0] is the program, looked up in PATH
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  size_t output_limit = size_t{256} << 20;  // of either stream; more ends the command
};

struct Outcome {
  int exit_code = -1;  // 128 and the signal, where one ended it; 127: it could not be started
  std::string output;
  std::string error;
  std::string problem;  // why it was ended before its time, or not begun; empty: it was not

  bool ok() const { return exit_code == 0 && problem.empty(); }
};

// Runs all of them, at most `at_once` at any moment, and returns what became of each, in their
// order. Whoever takes longer than it may, or writes more, is killed with all that it started. They
// read nothing (/dev/null).
std::vector<Outcome> RunAll(const std::vector<Command>& commands, size_t at_once);

Outcome Run(const Command& command);

}  // namespace npu_ipc::kubectl
