// One JSON object of a configuration file, read key by key with errors that help its author.
#pragma once

#include <stdint.h>

#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "hal/base/result.h"

namespace npu_ipc::sim {

// Every getter returns a default after the first error, which goes to `status` as
// "<path>.<key>: expected ..., found ...": a reader states what it wants, one key a line, and looks
// at the status once. `json` and `status` outlive this object. Not thread safe.
class JsonObject {
 public:
  JsonObject(const nlohmann::json& json, std::string path, Status* status);

  // Text of 1 to `limit` bytes.
  std::string Text(const char* key, size_t limit);
  int64_t Number(const char* key, int64_t lowest, int64_t highest);
  // Text like "0xd802", at most `highest`.
  uint64_t Hexadecimal(const char* key, uint64_t highest);
  JsonObject Object(const char* key);
  const nlohmann::json& Array(const char* key);

  bool Has(const char* key) const { return json_.contains(key); }
  // A key that is known and not read here.
  void Ignore(const char* key) { known_.insert(key); }
  // Call last: any key that was not asked for is an error.
  void RejectUnknownKeys();

  void Fail(const std::string& key, const std::string& expected);

 private:
  const nlohmann::json* Find(const char* key, const std::string& expected);

  const nlohmann::json& json_;
  std::string path_;
  Status* status_;
  std::set<std::string> known_;
};

}  // namespace npu_ipc::sim
