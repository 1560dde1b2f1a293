// A token or a private key, kept apart from every other string.
#pragma once

#include <string>
#include <utility>

namespace npu_ipc::cluster {

// Reads only through Reveal(), so that no log line and no message gets one by accident.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}

  bool empty() const { return value_.empty(); }
  const std::string& Reveal() const { return value_; }

  friend bool operator==(const Secret&, const Secret&) = default;

 private:
  std::string value_;
};

}  // namespace npu_ipc::cluster
