// npu-ipc-party: a program in a pod that does what a test tells it: a command a line on standard
// input, its answer a line on standard output (party.h). Ends with standard input.
#include <iostream>
#include <string>

#include "tests/integration/party/party.h"

int main() {
  npu_ipc::party::Party party;
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "exit") break;
    const std::string answer = party.Do(line);
    if (!answer.empty()) std::cout << answer << std::endl;
  }
  return 0;
}
