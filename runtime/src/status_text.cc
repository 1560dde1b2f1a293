// npu_ipc_status in words.
#include "runtime/include/npu_ipc.h"
#include "runtime/protocol/wire.h"

namespace {

struct StatusText {
  npu_ipc_status status;
  const char* name;
  const char* sentence;
};

#define NPU_IPC_STATUS_TEXT(status, sentence) \
  { status, #status, sentence }
constexpr StatusText kTexts[] = {
    NPU_IPC_STATUS_TEXT(NPU_IPC_OK, "no error"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_MALFORMED, "broker and library disagree on a message"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_VERSION_MISMATCH, "the broker speaks another major version"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NOT_IN_POD, "this process belongs to no pod"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_UNKNOWN_POD, "the broker does not know this pod (yet)"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NO_GROUP, "this pod has no npu-ipc.io/group annotation"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_BAD_ANNOTATION,
                        "an annotation of this pod has a value that is not accepted"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NOT_IN_GROUP, "this pod is not a member of that group"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_ROLE_DENIED, "this pod's role in the group does not allow it"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NAME_TAKEN, "a live exporter holds the name"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NOT_FOUND, "no such region"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_TIMED_OUT, "the wait has ended"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_EXPORTER_GONE, "the exporter ended or withdrew meanwhile"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_EXPORTER_FAILED, "the exporter could not whitelist this process"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_LIMIT, "a limit is reached"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_UNSUPPORTED, "not supported (yet)"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_RECONNECT, "the connection belongs to another process"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_SHUTTING_DOWN, "the broker is shutting down"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_UNREACHABLE, "the two devices cannot reach each other"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_STILL_HELD, "importers have not detached within the drain time"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_PEER_LIMIT, "32 processes already use this pair of devices"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_INTERNAL, "the broker met an error of its own"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_POLICY_DENIED, "the cluster's policy forbids it"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NAMESPACE_DENIED, "the other namespace has not given its leave"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_QUOTA_EXCEEDED, "a limit of bytes is reached"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_CLAIM_CONTRADICTED,
                        "the driver's own records say otherwise than this process"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_INVALID_ARGUMENT, "an argument can never work"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NO_BROKER, "no broker listens at the socket"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NO_VENDOR_LIBRARY,
                        "AscendCL is not loaded in this process, or lacks a function"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_VENDOR_ERROR, "a vendor call failed"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_WRONG_PROCESS, "the object was made before a fork"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NO_MEMORY, "the host is out of memory, threads or descriptors"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_DISCONNECTED, "the broker went away"),
    NPU_IPC_STATUS_TEXT(NPU_IPC_NO_EVENT, "no event came within the wait"),
};
#undef NPU_IPC_STATUS_TEXT

// The broker's statuses are passed on as they are.
static_assert(NPU_IPC_INTERNAL == static_cast<int>(npu_ipc::wire::Status::kInternal) &&
              NPU_IPC_CLAIM_CONTRADICTED ==
                  static_cast<int>(npu_ipc::wire::Status::kClaimContradicted) &&
              NPU_IPC_STILL_HELD == static_cast<int>(npu_ipc::wire::Status::kStillHeld) &&
              NPU_IPC_TIMED_OUT == static_cast<int>(npu_ipc::wire::Status::kTimedOut) &&
              NPU_IPC_PEER_LIMIT == static_cast<int>(npu_ipc::wire::Status::kPeerLimit) &&
              NPU_IPC_NO_GROUP == static_cast<int>(npu_ipc::wire::Status::kNoGroup));

const StatusText* Find(npu_ipc_status status) {
  for (const StatusText& text : kTexts) {
    if (text.status == status) return &text;
  }
  return nullptr;
}

}  // namespace

extern "C" {

const char* npu_ipc_status_name(npu_ipc_status status) noexcept {
  const StatusText* const text = Find(status);
  return text != nullptr ? text->name : "NPU_IPC_UNKNOWN_STATUS";
}

const char* npu_ipc_status_string(npu_ipc_status status) noexcept {
  const StatusText* const text = Find(status);
  return text != nullptr ? text->sentence : "a status that this version does not know";
}

}  // extern "C"
