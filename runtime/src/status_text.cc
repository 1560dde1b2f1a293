// npu_ipc_status in words.
#include <stddef.h>

#include "runtime/include/npu_ipc.h"
#include "runtime/protocol/wire.h"

namespace {

// Name and sentence of each status, in the order of their values. Pointers to them would each need
// a relocation, which takes more room than the texts.
// clang-format off
constexpr char kTexts[] =
    "NPU_IPC_OK\0" "no error\0"
    "NPU_IPC_MALFORMED\0" "broker and library disagree on a message\0"
    "NPU_IPC_VERSION_MISMATCH\0" "the broker speaks another major version\0"
    "NPU_IPC_NOT_IN_POD\0" "this process belongs to no pod\0"
    "NPU_IPC_UNKNOWN_POD\0" "the broker does not know this pod (yet)\0"
    "NPU_IPC_NO_GROUP\0" "this pod has no npu-ipc.io/group annotation\0"
    "NPU_IPC_BAD_ANNOTATION\0" "an annotation of this pod has a value that is not accepted\0"
    "NPU_IPC_NOT_IN_GROUP\0" "this pod is not a member of that group\0"
    "NPU_IPC_ROLE_DENIED\0" "this pod's role in the group does not allow it\0"
    "NPU_IPC_NAME_TAKEN\0" "a live exporter holds the name\0"
    "NPU_IPC_NOT_FOUND\0" "no such region\0"
    "NPU_IPC_TIMED_OUT\0" "the wait has ended\0"
    "NPU_IPC_EXPORTER_GONE\0" "the exporter ended or withdrew meanwhile\0"
    "NPU_IPC_EXPORTER_FAILED\0" "the exporter could not whitelist this process\0"
    "NPU_IPC_LIMIT\0" "a limit is reached\0"
    "NPU_IPC_UNSUPPORTED\0" "not supported (yet)\0"
    "NPU_IPC_RECONNECT\0" "the connection belongs to another process\0"
    "NPU_IPC_SHUTTING_DOWN\0" "the broker is shutting down\0"
    "NPU_IPC_UNREACHABLE\0" "the two devices cannot reach each other\0"
    "NPU_IPC_STILL_HELD\0" "importers have not detached within the drain time\0"
    "NPU_IPC_PEER_LIMIT\0" "32 processes already use this pair of devices\0"
    "NPU_IPC_INTERNAL\0" "the broker met an error of its own\0"
    "NPU_IPC_POLICY_DENIED\0" "the cluster's policy forbids it\0"
    "NPU_IPC_NAMESPACE_DENIED\0" "the other namespace has not given its leave\0"
    "NPU_IPC_QUOTA_EXCEEDED\0" "a limit of bytes is reached\0"
    "NPU_IPC_CLAIM_CONTRADICTED\0" "the driver's own records say otherwise than this process\0"
    "NPU_IPC_INVALID_ARGUMENT\0" "an argument can never work\0"
    "NPU_IPC_NO_BROKER\0" "no broker listens at the socket\0"
    "NPU_IPC_NO_VENDOR_LIBRARY\0" "AscendCL is not loaded in this process, or lacks a function\0"
    "NPU_IPC_VENDOR_ERROR\0" "a vendor call failed\0"
    "NPU_IPC_WRONG_PROCESS\0" "the object was made before a fork\0"
    "NPU_IPC_NO_MEMORY\0" "the host is out of memory, threads or descriptors\0"
    "NPU_IPC_DISCONNECTED\0" "the broker went away\0"
    "NPU_IPC_NO_EVENT\0" "no event came within the wait\0";
// clang-format on

constexpr int kFirstOfTheLibrary = NPU_IPC_INVALID_ARGUMENT;
constexpr int kLastOfTheBroker = NPU_IPC_CLAIM_CONTRADICTED;
constexpr int kLast = NPU_IPC_NO_EVENT;

// The broker's statuses are passed on as they are.
static_assert(NPU_IPC_INTERNAL == static_cast<int>(npu_ipc::wire::Status::kInternal) &&
              NPU_IPC_CLAIM_CONTRADICTED ==
                  static_cast<int>(npu_ipc::wire::Status::kClaimContradicted) &&
              NPU_IPC_STILL_HELD == static_cast<int>(npu_ipc::wire::Status::kStillHeld) &&
              NPU_IPC_TIMED_OUT == static_cast<int>(npu_ipc::wire::Status::kTimedOut) &&
              NPU_IPC_PEER_LIMIT == static_cast<int>(npu_ipc::wire::Status::kPeerLimit) &&
              NPU_IPC_NO_GROUP == static_cast<int>(npu_ipc::wire::Status::kNoGroup));

// The n-th text of kTexts.
const char* TextAt(int n) {
  const char* text = kTexts;
  for (; n > 0; --n) {
    while (*text != '\0') ++text;
    ++text;
  }
  return text;
}

constexpr int TextCount() {
  int count = 0;
  for (size_t i = 0; i + 1 < sizeof(kTexts); ++i) count += kTexts[i] == '\0' ? 1 : 0;
  return count;
}
static_assert(TextCount() == 2 * (kLastOfTheBroker + 1 + kLast - kFirstOfTheLibrary + 1));

// Where the name of `status` is in kTexts; its sentence follows. -1: there is none.
int PlaceOf(int status) {
  if (status >= 0 && status <= kLastOfTheBroker) return 2 * status;
  if (status < kFirstOfTheLibrary || status > kLast) return -1;
  return 2 * (kLastOfTheBroker + 1 + status - kFirstOfTheLibrary);
}

}  // namespace

extern "C" {

const char* npu_ipc_status_name(npu_ipc_status status) noexcept {
  const int place = PlaceOf(status);
  return place < 0 ? "NPU_IPC_UNKNOWN_STATUS" : TextAt(place);
}

const char* npu_ipc_status_string(npu_ipc_status status) noexcept {
  const int place = PlaceOf(status);
  return place < 0 ? "a status that this version does not know" : TextAt(place + 1);
}

}  // extern "C"
