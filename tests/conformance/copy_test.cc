// Which copies an imported pointer allows: across devices, asynchronous ones between devices alone.
#include <gtest/gtest.h>

#include "tests/conformance/device_copy.h"
#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

constexpr uint64_t kBytes = kHugePageBytes;
constexpr uint64_t kBefore = 100;

struct CopyResult {
  aclError write;  // to the imported memory
  aclError read;   // from it
};

// Copies of one kind between imported memory and memory of the party's own, on the host or the
// device.
CopyResult Copy(Party& party, void* imported, aclrtMemcpyKind to_it, aclrtMemcpyKind from_it,
                bool own_is_device, bool async) {
  return party.Call(
      [](void* memory, aclrtMemcpyKind to, aclrtMemcpyKind from, bool is_device, bool is_async) {
        void* own = nullptr;
        CopyResult result = {};
        result.write = is_device ? aclrtMalloc(&own, kBytes, ACL_MEM_MALLOC_HUGE_FIRST)
                                 : aclrtMallocHost(&own, kBytes);
        if (result.write != ACL_SUCCESS) return result;
        const auto copy = [is_async](void* target, const void* source, aclrtMemcpyKind kind) {
          return is_async ? CopyAsync(target, source, kBytes, kind)
                          : aclrtMemcpy(target, kBytes, source, kBytes, kind);
        };
        result.write = copy(memory, own, to);
        result.read = copy(own, memory, from);
        is_device ? aclrtFree(own) : aclrtFreeHost(own);
        return result;
      },
      imported, to_it, from_it, own_is_device, async);
}

class ImportedCopy : public ::testing::Test {
 protected:
  void ImportOn(int device) {
    importer_ = std::make_unique<Party>(Party::OnHost(device));
    if (device != First()) EnableP2PBothWays(exporter_, *importer_);
    exporter_.Write(block_.address, block_.bytes, kBefore);
    exporter_.Admit(key_, *importer_);
    imported_ = importer_->Import(key_);
  }
  CopyResult CopyToHost(bool async) {
    return Copy(*importer_, imported_, ACL_MEMCPY_HOST_TO_DEVICE, ACL_MEMCPY_DEVICE_TO_HOST, false,
                async);
  }
  CopyResult CopyToDevice(bool async) {
    return Copy(*importer_, imported_, ACL_MEMCPY_DEVICE_TO_DEVICE, ACL_MEMCPY_DEVICE_TO_DEVICE,
                true, async);
  }
  void ExpectRefused(const CopyResult& result) {
    EXPECT_NE(result.write, ACL_SUCCESS);
    EXPECT_NE(result.read, ACL_SUCCESS);
    EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), kBefore) << "unchanged";
  }
  static void ExpectAllowed(const CopyResult& result) {
    EXPECT_EQ(result.write, ACL_SUCCESS);
    EXPECT_EQ(result.read, ACL_SUCCESS);
  }

  Party exporter_ = Party::OnHost(First());
  Block block_ = exporter_.Allocate(kBytes);
  Key key_ = exporter_.Export(block_);
  std::unique_ptr<Party> importer_;
  void* imported_ = nullptr;
};

TEST_F(ImportedCopy, AcrossDevicesIsAsynchronousBetweenDevices) {
  ImportOn(Second());
  ExpectAllowed(CopyToDevice(/*async=*/true));
}

TEST_F(ImportedCopy, AcrossDevicesIsNotSynchronousBetweenDevices) {
  ImportOn(Second());
  ExpectRefused(CopyToDevice(/*async=*/false));
}

TEST_F(ImportedCopy, AcrossDevicesIsNotToOrFromTheHost) {
  ImportOn(Second());
  ExpectRefused(CopyToHost(/*async=*/false));
}

TEST_F(ImportedCopy, AcrossDevicesIsNotAsynchronousToOrFromTheHost) {
  ImportOn(Second());
  ExpectRefused(CopyToHost(/*async=*/true));
}

TEST_F(ImportedCopy, AcrossDevicesHasNoInferredDirection) {
  ImportOn(Second());
  ExpectRefused(
      Copy(*importer_, imported_, ACL_MEMCPY_DEFAULT, ACL_MEMCPY_DEFAULT, true, /*async=*/true));
}

TEST_F(ImportedCopy, OnTheExportersDeviceHasNoSuchLimits) {
  ImportOn(First());
  ExpectAllowed(CopyToDevice(/*async=*/true));
  ExpectAllowed(CopyToDevice(/*async=*/false));
  ExpectAllowed(CopyToHost(/*async=*/false));
  ExpectAllowed(CopyToHost(/*async=*/true));
}

}  // namespace
}  // namespace npu_ipc::conformance
