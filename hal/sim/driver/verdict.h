// What the simulated driver answers to one request.
#pragma once

namespace npu_ipc::sim {

// An errno, as an ioctl of the real driver returns it (0: done), and what the real one would leave
// in the kernel's log. The text names no export key. A plain value.
struct [[nodiscard]] Verdict {
  int error = 0;
  const char* reason = "";

  bool ok() const { return error == 0; }
};

}  // namespace npu_ipc::sim
