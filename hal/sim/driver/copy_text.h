// Text in the fixed arrays of protocol.h.
#pragma once

#include <string.h>

#include <algorithm>
#include <string>

namespace npu_ipc::sim {

// As much of `from` as fits before the NUL.
template <size_t size>
void CopyText(char (&to)[size], const std::string& from) {
  const size_t bytes = std::min(from.size(), size - 1);
  memcpy(to, from.data(), bytes);
  to[bytes] = '\0';
}

}  // namespace npu_ipc::sim
