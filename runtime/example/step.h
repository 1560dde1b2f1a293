// Small things that both sides of the example need: fail with a reason, tell what happens, make a
// pattern.
#pragma once

#include <stdint.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "acl/acl.h"
#include "npu_ipc.h"

namespace example {

struct Arguments {
  std::string name = "example";
  std::string group;           // empty: the pod's only group
  size_t bytes = 64u << 20;    // of the region
  int device = 0;              // as this container counts its devices
  uint32_t wait_seconds = 30;  // for the other side
  bool step_by_step = false;   // wait for a line on stdin before each step
};

int RunExporter(const Arguments& arguments);
int RunImporter(const Arguments& arguments);

// Prints one line on stdout: what happened, as "event key=value ...".
void Tell(const std::string& line);

// With --step-by-step: waits for a line on stdin. Ends the program when stdin has ended.
void NextStep(const Arguments& arguments);

// End the program with exit code 1 and the reason on stderr unless the call succeeded.
void Check(aclError error, const char* call);
void Check(npu_ipc_status status, npu_ipc_client* client, const char* call);

// Word i of the pattern that `seed` names: both sides can compute it, neither gets it right by
// accident.
inline uint64_t PatternWord(uint64_t seed, size_t i) {
  return (seed << 56) ^ (i * 0x9E3779B97F4A7C15u);
}
constexpr uint64_t kExportersSeed = 1;
constexpr uint64_t kImportersSeed = 2;

// Regions are filled and checked in pieces, so that no second copy of them is needed.
constexpr size_t kPieceBytes = 64u << 20;
void FillPattern(std::vector<uint64_t>& piece, uint64_t seed, size_t offset_bytes, size_t bytes);
// Ends the program if a word differs.
void CheckPattern(const std::vector<uint64_t>& piece, uint64_t seed, size_t offset_bytes,
                  size_t bytes);

// Connects to the node's broker, and tells who it says we are.
npu_ipc_client* OpenAndIntroduce();

}  // namespace example
