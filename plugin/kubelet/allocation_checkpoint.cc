#include "plugin/kubelet/allocation_checkpoint.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "hal/base/process.h"

namespace npu_ipc::kubelet {
namespace {

using nlohmann::json;

constexpr size_t kLargestCheckpoint = 64 << 20;

// RFC 4648, with padding, as Go's encoding/json writes a []byte.
std::optional<std::string> DecodeBase64(std::string_view text) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return std::nullopt;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  std::string bytes;
  uint32_t collected = 0;
  int bits = 0;
  for (const char c : text) {
    const size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    collected = collected << 6 | static_cast<uint32_t>(digit);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<char>(collected >> bits & 0xff));
    }
  }
  return bytes;
}

Status NotUnderstood(const std::string& what) {
  return {StatusCode::kFailedPrecondition, "the kubelet's checkpoint: " + what};
}

}  // namespace

Result<AllocationCheckpoint> AllocationCheckpoint::Read(
    const std::string& device_plugin_directory) {
  const Result<std::string> text =
      ReadFile(device_plugin_directory + "/kubelet_internal_checkpoint", kLargestCheckpoint);
  if (!text.ok()) return text.status();
  return Parse(*text);
}

Result<AllocationCheckpoint> AllocationCheckpoint::Parse(std::string_view text) {
  const json checkpoint = json::parse(text, nullptr, false);
  if (checkpoint.is_discarded()) return NotUnderstood("not JSON");
  if (!checkpoint.is_object() || !checkpoint.contains("Data") || !checkpoint["Data"].is_object() ||
      !checkpoint["Data"].contains("PodDeviceEntries")) {
    return NotUnderstood("no Data.PodDeviceEntries");
  }
  const json& entries = checkpoint["Data"]["PodDeviceEntries"];
  if (!entries.is_array() && !entries.is_null()) {  // Go writes an empty list as null
    return NotUnderstood("Data.PodDeviceEntries is no list");
  }
  std::vector<std::string> answers;
  for (const json& entry : entries) {
    if (!entry.is_object() || !entry.contains("AllocResp") || !entry["AllocResp"].is_string()) {
      return NotUnderstood("an entry without AllocResp");
    }
    std::optional<std::string> answer =
        DecodeBase64(entry["AllocResp"].get_ref<const std::string&>());
    if (!answer) return NotUnderstood("an AllocResp that is not base64");
    answers.push_back(std::move(*answer));
  }
  return AllocationCheckpoint(std::move(answers));
}

bool AllocationCheckpoint::Mentions(std::string_view text) const {
  return std::any_of(answers_.begin(), answers_.end(), [&](const std::string& answer) {
    return answer.find(text) != std::string::npos;
  });
}

}  // namespace npu_ipc::kubelet
