// npu-ipc-bad-neighbour NAME: a program in a pod that misbehaves at the broker's socket until its
// input says or ends something; then prints how often the broker dropped a connection of its.
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <iostream>

#include "runtime/protocol/wire.h"
#include "tests/fixtures/bad_neighbour.h"

int main(int argc, char** argv) {
  const auto misbehaviour = npu_ipc::ParseMisbehaviour(argc == 2 ? argv[1] : "");
  if (!misbehaviour.ok()) {
    std::cerr << misbehaviour.status().message() << std::endl;
    return 2;
  }
  const char* const path = ::getenv(npu_ipc::wire::kSocketPathVariable);
  std::cout << "ready" << std::endl;
  size_t dropped = 0;
  const npu_ipc::Status done = npu_ipc::Misbehave(
      *misbehaviour, path != nullptr ? path : npu_ipc::wire::kDefaultSocketPath,
      [] {
        pollfd input = {STDIN_FILENO, POLLIN, 0};
        return ::poll(&input, 1, 0) == 0;
      },
      &dropped);
  if (!done.ok()) std::cerr << done.message() << std::endl;
  std::cout << "dropped " << dropped << std::endl;
  return done.ok() ? 0 : 1;
}
