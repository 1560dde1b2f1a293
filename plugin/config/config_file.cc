#include "plugin/config/config_file.h"

#include <set>
#include <utility>
#include <vector>

#include "hal/base/process.h"

namespace npu_ipc::config {
namespace {

using nlohmann::json;

// The first key that an object of the text has twice, with the keys on the way to it; "" where
// there is none.
class DuplicateFinder {
 public:
  bool operator()(int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) {
      objects_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      objects_.pop_back();
    } else if (event == json::parse_event_t::key) {
      Object& object = objects_.back();
      object.key = parsed.get<std::string>();
      if (!object.keys.insert(object.key).second && duplicate_.empty()) duplicate_ = Path();
    }
    return true;
  }
  const std::string& duplicate() const { return duplicate_; }

 private:
  struct Object {
    std::set<std::string> keys;
    std::string key;  // the one that is being read
  };

  std::string Path() const {
    std::string path;
    for (const Object& object : objects_) path += (path.empty() ? "" : ".") + object.key;
    return path;
  }

  std::vector<Object> objects_;
  std::string duplicate_;
};

}  // namespace

Result<json> ReadConfigFile(const std::string& path) {
  const Result<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status().WithContext("--config");
  DuplicateFinder finder;
  json document;
  try {
    document = json::parse(*text, std::ref(finder));
  } catch (const json::exception& error) {
    return Status(StatusCode::kInvalidArgument, path + " is not valid JSON: " + error.what());
  }
  if (!document.is_object()) {
    return Status(StatusCode::kInvalidArgument, path + ": the file must hold one JSON object");
  }
  if (!finder.duplicate().empty()) {
    return Status(StatusCode::kInvalidArgument,
                  path + ": " + finder.duplicate() + " is there twice");
  }
  return document;
}

}  // namespace npu_ipc::config
