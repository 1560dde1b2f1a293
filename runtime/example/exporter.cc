// The exporter: makes device memory, shares it under a name, and takes it back in the end.
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "runtime/example/step.h"

namespace example {
namespace {

// Writes the exporter's pattern, piece by piece: host to our own device.
void Fill(char* dev_ptr, size_t bytes) {
  std::vector<uint64_t> piece(std::min(bytes, kPieceBytes) / sizeof(uint64_t));
  for (size_t at = 0; at < bytes; at += kPieceBytes) {
    const size_t n = std::min(kPieceBytes, bytes - at);
    FillPattern(piece, kExportersSeed, at, n);
    Check(aclrtMemcpy(dev_ptr + at, n, piece.data(), n, ACL_MEMCPY_HOST_TO_DEVICE), "aclrtMemcpy");
  }
}

// Waits until the importer has written its own pattern, by looking at the region's last word.
void WaitForTheImporter(const char* dev_ptr, const Arguments& arguments) {
  const size_t last = arguments.bytes / sizeof(uint64_t) - 1;
  for (uint32_t looks = 0; looks < arguments.wait_seconds * 100; ++looks) {
    uint64_t word = 0;
    Check(aclrtMemcpy(&word, sizeof(word), dev_ptr + last * sizeof(word), sizeof(word),
                      ACL_MEMCPY_DEVICE_TO_HOST),
          "aclrtMemcpy");
    if (word == PatternWord(kImportersSeed, last)) return;
    ::usleep(10'000);
  }
  std::cerr << "no importer wrote to the region within " << arguments.wait_seconds << " s" << '\n';
  ::exit(1);
}

void VerifyTheImporters(const char* dev_ptr, size_t bytes) {
  std::vector<uint64_t> piece(std::min(bytes, kPieceBytes) / sizeof(uint64_t));
  for (size_t at = 0; at < bytes; at += kPieceBytes) {
    const size_t n = std::min(kPieceBytes, bytes - at);
    Check(aclrtMemcpy(piece.data(), n, dev_ptr + at, n, ACL_MEMCPY_DEVICE_TO_HOST), "aclrtMemcpy");
    CheckPattern(piece, kImportersSeed, at, n);
  }
}

}  // namespace

int RunExporter(const Arguments& arguments) {
  // 1. Who are we? The broker knows from the kernel, and the pod's annotation says what we may
  // share.
  npu_ipc_client* client = OpenAndIntroduce();

  // 2. Ordinary AscendCL: a device, and memory on it.
  NextStep(arguments);
  Check(aclInit(nullptr), "aclInit");
  Check(aclrtSetDevice(arguments.device), "aclrtSetDevice");
  void* memory = nullptr;
  Check(aclrtMalloc(&memory, arguments.bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
  char* dev_ptr = static_cast<char*>(memory);
  Fill(dev_ptr, arguments.bytes);
  Tell("filled bytes=" + std::to_string(arguments.bytes));

  // 3. Share it. From here on, any importer of our group can attach to it by name.
  npu_ipc_publish_options options = {};
  options.struct_bytes = sizeof(options);
  options.group = arguments.group.empty() ? nullptr : arguments.group.c_str();
  npu_ipc_region* region = nullptr;
  Check(
      npu_ipc_publish(client, arguments.name.c_str(), dev_ptr, arguments.bytes, &options, &region),
      client, "npu_ipc_publish");
  npu_ipc_region_info info = {};
  info.struct_bytes = sizeof(info);
  Check(npu_ipc_region_get_info(region, &info), client, "npu_ipc_region_get_info");
  Tell("published name=" + arguments.name + " device=" + std::to_string(info.device) +
       " generation=" + std::to_string(info.generation));

  // 4. The importer reads our pattern and writes its own into the same memory.
  NextStep(arguments);
  WaitForTheImporter(dev_ptr, arguments);
  VerifyTheImporters(dev_ptr, arguments.bytes);
  Tell("verified bytes=" + std::to_string(arguments.bytes));

  // 5. Take it back: importers are asked to detach, and only then is the export closed.
  NextStep(arguments);
  Check(npu_ipc_withdraw(region, arguments.wait_seconds * 1000, /*force=*/0), client,
        "npu_ipc_withdraw");
  Tell("withdrawn");

  npu_ipc_close(client);
  Check(aclrtFree(memory), "aclrtFree");
  Check(aclrtResetDevice(arguments.device), "aclrtResetDevice");
  Check(aclFinalize(), "aclFinalize");
  return 0;
}

}  // namespace example
