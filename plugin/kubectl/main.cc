// kubectl-npu: what pods share of their NPUs' memory, seen from wherever kubectl works.
#include <iostream>

#include "plugin/kubectl/run.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  return npu_ipc::kubectl::Run({argv + 1, argv + argc}, {std::cout, std::cerr});
}
