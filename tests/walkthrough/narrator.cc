#include "tests/walkthrough/narrator.h"

#include <stdint.h>

#include <iostream>

namespace npu_ipc {

void Narrator::Step(const std::string& title) {
  std::cout << "\n" << ++step_ << ". " << title << std::endl;
}

void Narrator::Fact(const std::string& text) { std::cout << "     " << text << std::endl; }

void Narrator::Proof(const std::string& text) { std::cout << "  ok " << text << std::endl; }

std::string Size(uint64_t bytes) {
  const char* const units[] = {"bytes", "KiB", "MiB", "GiB"};
  int unit = 0;
  while (unit < 3 && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + " " + units[unit];
}

}  // namespace npu_ipc
