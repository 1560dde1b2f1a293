// What is asked at the admin socket.
#pragma once

#include <string>
#include <string_view>

#include "hal/base/result.h"

namespace npu_ipc::admin {

enum class Topic { kVersion, kShares, kPods, kDevices, kAudit, kDoctor, kEvents };

// "shares" and so on.
std::string_view TopicName(Topic topic);

struct Request {
  Topic topic = Topic::kVersion;
  std::string pod;   // namespace/name: of kDoctor; empty: of the node alone
  std::string from;  // metadata.continue of the page before; empty: the first

  friend bool operator==(const Request&, const Request&) = default;
};

// A JSON object with these members on one line: {"topic": "doctor", "pod": "team/trainer-0"}.
// kInvalidArgument says what is wrong with it: members and topics that are not known, too.
Result<Request> ParseRequest(std::string_view text);
std::string FormatRequest(const Request& request);

// "version, shares, ...".
std::string TopicNames();

}  // namespace npu_ipc::admin
