// What any broker between two processes costs at the least.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "hal/base/fd.h"
#include "hal/base/result.h"

namespace npu_ipc {

// Passes each packet of one connection on to another, as it is, on a thread of its own: waits for
// both with one call, as whoever serves many must, and does nothing else.
class Relay {
 public:
  // Listens at `exporter_path` and `importer_path`; serves the first connection of each. Ends with
  // either.
  static Result<std::unique_ptr<Relay>> Start(const std::string& exporter_path,
                                              const std::string& importer_path);
  ~Relay();

 private:
  Relay() = default;

  UniqueFd stop_read_;
  UniqueFd stop_write_;
  std::thread thread_;
};

}  // namespace npu_ipc
