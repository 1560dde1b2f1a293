// The importer: attaches to another pod's memory by name, reads it, writes to it, and lets it go
// when asked.
#include <algorithm>
#include <iostream>

#include "runtime/example/step.h"

namespace example {
namespace {

// Moves data between the mapping and the host through a small buffer on our own device: where the
// exporter's memory is on another card, only asynchronous device-to-device copies (and kernels)
// reach it.
class Staging {
 public:
  explicit Staging(size_t bytes) {
    Check(aclrtMalloc(&buffer_, bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    Check(aclrtCreateStream(&stream_), "aclrtCreateStream");
  }
  ~Staging() {
    Check(aclrtDestroyStream(stream_), "aclrtDestroyStream");
    Check(aclrtFree(buffer_), "aclrtFree");
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void Read(void* host, const void* mapped, size_t bytes) {
    CopyOnDevice(buffer_, mapped, bytes);
    Check(aclrtMemcpy(host, bytes, buffer_, bytes, ACL_MEMCPY_DEVICE_TO_HOST), "aclrtMemcpy");
  }
  void Write(void* mapped, const void* host, size_t bytes) {
    Check(aclrtMemcpy(buffer_, bytes, host, bytes, ACL_MEMCPY_HOST_TO_DEVICE), "aclrtMemcpy");
    CopyOnDevice(mapped, buffer_, bytes);
  }

 private:
  void CopyOnDevice(void* to, const void* from, size_t bytes) {
    Check(aclrtMemcpyAsync(to, bytes, from, bytes, ACL_MEMCPY_DEVICE_TO_DEVICE, stream_),
          "aclrtMemcpyAsync");
    Check(aclrtSynchronizeStream(stream_), "aclrtSynchronizeStream");
  }

  void* buffer_ = nullptr;
  aclrtStream stream_ = nullptr;
};

void ReadExportersPattern(const npu_ipc_mapping_info& mapping) {
  const char* mapped = static_cast<const char*>(mapping.dev_ptr);
  Staging staging(std::min(mapping.bytes, kPieceBytes));
  std::vector<uint64_t> piece(std::min(mapping.bytes, kPieceBytes) / sizeof(uint64_t));
  for (size_t at = 0; at < mapping.bytes; at += kPieceBytes) {
    const size_t n = std::min(kPieceBytes, mapping.bytes - at);
    staging.Read(piece.data(), mapped + at, n);
    CheckPattern(piece, kExportersSeed, at, n);
  }
}

void WriteOurPattern(const npu_ipc_mapping_info& mapping) {
  char* mapped = static_cast<char*>(mapping.dev_ptr);
  Staging staging(std::min(mapping.bytes, kPieceBytes));
  std::vector<uint64_t> piece(std::min(mapping.bytes, kPieceBytes) / sizeof(uint64_t));
  for (size_t at = 0; at < mapping.bytes; at += kPieceBytes) {
    const size_t n = std::min(kPieceBytes, mapping.bytes - at);
    FillPattern(piece, kImportersSeed, at, n);
    staging.Write(mapped + at, piece.data(), n);
  }
}

// A real importer goes on working and looks at its events now and then; this one only waits. A
// broker that is restarted costs it nothing: what it has mapped stays.
void WaitUntilItHasToGo(npu_ipc_client* client, const Arguments& arguments) {
  for (;;) {
    npu_ipc_event event = {};
    event.struct_bytes = sizeof(event);
    Check(npu_ipc_next_event(client, arguments.wait_seconds * 1000, &event), client,
          "npu_ipc_next_event");
    switch (event.type) {
      case NPU_IPC_EVENT_WITHDRAWING:
        return Tell("asked to detach");
      case NPU_IPC_EVENT_EXPORTER_GONE:
        return Tell("the exporter is gone");
      case NPU_IPC_EVENT_REVOKED:
        return Tell("the right is taken back");
      case NPU_IPC_EVENT_DISCONNECTED:
        Tell("the broker is away");
        break;
      case NPU_IPC_EVENT_RECONNECTED:
        Tell("the broker is back");
        break;
      default:
        return Tell("the mapping has ended");
    }
  }
}

}  // namespace

int RunImporter(const Arguments& arguments) {
  npu_ipc_client* client = OpenAndIntroduce();

  NextStep(arguments);
  Check(aclInit(nullptr), "aclInit");
  Check(aclrtSetDevice(arguments.device), "aclrtSetDevice");
  uint32_t devices = 0;
  Check(aclrtGetDeviceCount(&devices), "aclrtGetDeviceCount");
  Tell("devices count=" + std::to_string(devices));

  // 1. Attach by name. The broker has the exporter whitelist us, and peer access is enabled where
  // the cards differ.
  NextStep(arguments);
  npu_ipc_attach_options options = {};
  options.struct_bytes = sizeof(options);
  options.group = arguments.group.empty() ? nullptr : arguments.group.c_str();
  options.wait_ms = arguments.wait_seconds * 1000;
  npu_ipc_mapping* mapping = nullptr;
  Check(npu_ipc_attach(client, arguments.name.c_str(), &options, &mapping), client,
        "npu_ipc_attach");
  npu_ipc_mapping_info info = {};
  info.struct_bytes = sizeof(info);
  Check(npu_ipc_mapping_get_info(mapping, &info), client, "npu_ipc_mapping_get_info");
  Tell("attached name=" + arguments.name + " bytes=" + std::to_string(info.bytes) + " device=" +
       std::to_string(info.device) + " exporter_device=" + std::to_string(info.exporter_device) +
       " exporter=" + info.exporter_namespace + "/" + info.exporter_pod +
       " exporter_host_pid=" + std::to_string(info.exporter_host_pid));

  // 2. The exporter's memory, read and written in place.
  NextStep(arguments);
  ReadExportersPattern(info);
  Tell("read bytes=" + std::to_string(info.bytes));
  NextStep(arguments);
  WriteOurPattern(info);
  Tell("wrote bytes=" + std::to_string(info.bytes));

  // 3. Let it go when its owner wants it back: the library never unmaps memory behind a program's
  // back.
  WaitUntilItHasToGo(client, arguments);
  NextStep(arguments);
  Check(npu_ipc_detach(mapping), client, "npu_ipc_detach");
  Tell("detached");

  npu_ipc_close(client);
  Check(aclrtResetDevice(arguments.device), "aclrtResetDevice");
  Check(aclFinalize(), "aclFinalize");
  return 0;
}

}  // namespace example
