// What the demo prints, for a person: numbered steps, facts below them, a reason where something is
// not so.
#pragma once

#include <stdint.h>

#include <string>

namespace npu_ipc {

class Narrator {
 public:
  void Step(const std::string& title);  // "3. Two pods start"
  void Fact(const std::string& text);   // indented below the step
  void Proof(const std::string& text);  // a fact that was checked

 private:
  int step_ = 0;
};

// "1 GiB", "64 MiB", "4096 bytes".
std::string Size(uint64_t bytes);

}  // namespace npu_ipc
