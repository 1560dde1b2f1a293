// The groups of a pod, as Welcome has them: "name:role,name:role".
#pragma once

#include <stddef.h>
#include <string.h>

#include "runtime/protocol/wire.h"

namespace npu_ipc::runtime {

// Reads one group after the other.
class GroupReader {
 public:
  // `groups` must outlive the reader.
  explicit GroupReader(const char* groups) : rest_(groups) {}

  // False when there is none any more.
  bool Next() {
    if (*rest_ == '\0') return false;
    const size_t entry = ::strcspn(rest_, ",");
    const auto* const colon = static_cast<const char*>(::memchr(rest_, ':', entry));
    const size_t length = colon == nullptr ? entry : static_cast<size_t>(colon - rest_);
    const size_t fits = length < sizeof(name_) ? length : 0;
    memcpy(name_, rest_, fits);
    name_[fits] = '\0';
    imports_only_ = colon != nullptr && ::strncmp(colon, ":importer", entry - length) == 0;
    rest_ += entry;
    if (*rest_ == ',') ++rest_;
    return true;
  }
  const char* name() const { return name_; }
  bool MayExport() const { return name_[0] != '\0' && !imports_only_; }

 private:
  const char* rest_;
  char name_[wire::kNameBytes] = {};
  bool imports_only_ = false;
};

}  // namespace npu_ipc::runtime
