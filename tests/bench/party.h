// The two processes that the attach benchmark measures, each in a pod of its own.
#pragma once

#include <stdint.h>

#include <string>

namespace npu_ipc {

inline constexpr uint64_t kRegionBytes = 2u << 20;
inline constexpr uint64_t kCopyBytes = 64u << 20;

// In the directory that the parties share.
inline constexpr char kPlainSocket[] = "/plain.sock";
inline constexpr char kRelayExporterSocket[] = "/relay-exporter.sock";
inline constexpr char kRelayImporterSocket[] = "/relay-importer.sock";

// Publishes `count` regions "r0" ... and as many "s0" ..., and serves three times `count` other
// exports the plain way: over a socket of its own in `directory`, as two processes of one pod would
// do it by hand, and through a relay (relay.h). Until standard input ends.
int RunBenchExporter(int count, const std::string& directory);

// Attaches to each region once through npu_ipc, to the "s" ones subscribed to ahead, and imports as
// many keys the plain way, the plain way whitelisted before, and through the relay, in turn; then
// copies from its own memory and from the exporter's. Prints a "sample ..." line for each kind.
int RunBenchImporter(int count, const std::string& directory);

// The plain way: the importer asks, the exporter whitelists and answers with the key.
struct PlainRequest {
  int32_t bare_tgid;
  int32_t whitelisted;  // 1: before, so that only the key is asked for
  uint32_t importer_physical_device;
  uint32_t index;
};
struct PlainAnswer {
  char key[65];
  uint32_t exporter_physical_device;
};

}  // namespace npu_ipc
