// What may be exported, and what a key looks like.
#include <ctype.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>

#include <string>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

constexpr uint64_t kSmallPageBytes = 4096;

// Hexadecimal digits of a key.
uint64_t Field(const Key& key, size_t begin, size_t digits) {
  return ::strtoull(std::string(key.text).substr(begin, digits).c_str(), nullptr, 16);
}

TEST(ExportKey, IsSixtyFourPrintableCharactersAndANul) {
  Party exporter = Party::OnHost(First());
  const Key key = exporter.Export(exporter.Allocate());
  EXPECT_EQ(::strnlen(key.text, sizeof(key.text)), 64u);
  for (size_t i = 0; i < 64; ++i) EXPECT_TRUE(::isprint(key.text[i])) << "at " << i;
}

// driver: svm_shmem_interprocess.c, svm_shmem_node.c
TEST(ExportKey, IsTheExportersHostPidACounterTheDeviceAndZeros) {
  Party exporter = Party::InContainer(Second());
  const Key key = exporter.Export(exporter.Allocate());
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_TRUE(::isxdigit(key.text[i]) && !::isupper(key.text[i])) << "at " << i;
  }
  EXPECT_EQ(Field(key, 0, 8), static_cast<uint64_t>(exporter.host_pid()));
  EXPECT_EQ(Field(key, 24, 2), static_cast<uint64_t>(Second()));
  EXPECT_EQ(Field(key, 26, 2), 0u) << "no virtual function";
  EXPECT_EQ(std::string(key.text).substr(36), std::string(28, '0'));
}

TEST(ExportKey, CountsUpOverAllProcesses) {
  Party one = Party::OnHost(First());
  Party other = Party::OnHost(Second());
  const uint64_t first = Field(one.Export(one.Allocate()), 8, 16);
  const uint64_t second = Field(other.Export(other.Allocate()), 8, 16);
  const uint64_t third = Field(one.Export(one.Allocate()), 8, 16);
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
}

TEST(ExportKey, NeedsABufferOfSixtyFiveBytes) {
  Party exporter = Party::OnHost(First());
  const Block block = exporter.Allocate();
  const auto flags = ACL_RT_IPC_MEM_EXPORT_FLAG_DEFAULT;
  EXPECT_EQ(exporter.TryExport(block, flags, 64).code, ACL_ERROR_RT_PARAM_INVALID);
  EXPECT_EQ(exporter.TryExport(block, flags, 65).code, ACL_SUCCESS);
}

TEST(Export, OfHugePagesBeginsAtAHugePage) {
  Party exporter = Party::OnHost(First());
  const Block block = exporter.Allocate(2 * kHugePageBytes, ACL_MEM_MALLOC_HUGE_ONLY);
  char* const begin = static_cast<char*>(block.address);
  EXPECT_NE(exporter.TryExport({begin + 1, kHugePageBytes}).code, ACL_SUCCESS);
  EXPECT_NE(exporter.TryExport({begin + kSmallPageBytes, kHugePageBytes}).code, ACL_SUCCESS);
  EXPECT_EQ(exporter.TryExport({begin + kHugePageBytes, kHugePageBytes}).code, ACL_SUCCESS);
}

TEST(Export, OfSmallPagesBeginsAtASmallPage) {
  Party exporter = Party::OnHost(First());
  const Block block = exporter.Allocate(4 * kSmallPageBytes, ACL_MEM_MALLOC_NORMAL_ONLY);
  char* const begin = static_cast<char*>(block.address);
  EXPECT_NE(exporter.TryExport({begin + 512, kSmallPageBytes}).code, ACL_SUCCESS);
  EXPECT_EQ(exporter.TryExport({begin + kSmallPageBytes, kSmallPageBytes}).code, ACL_SUCCESS);
}

TEST(Export, OfAPartGivesThatPart) {
  Party exporter = Party::OnHost(First());
  Party importer = Party::OnHost(First());
  const Block block = exporter.Allocate(2 * kHugePageBytes, ACL_MEM_MALLOC_HUGE_ONLY);
  exporter.Write(block.address, block.bytes, 1000);
  const Block part = {static_cast<char*>(block.address) + kHugePageBytes, kHugePageBytes};
  const Key key = exporter.Export(part);
  exporter.Admit(key, importer);
  void* const imported = importer.Import(key);
  EXPECT_EQ(importer.Read(imported, part.bytes), 1000 + kHugePageBytes / sizeof(uint64_t));
}

TEST(Export, MustLieInDeviceMemoryAsAWhole) {
  Party exporter = Party::OnHost(First());
  const Block block = exporter.Allocate(kHugePageBytes, ACL_MEM_MALLOC_HUGE_ONLY);
  EXPECT_NE(exporter.TryExport({block.address, 512 * kHugePageBytes}).code, ACL_SUCCESS);
  exporter.Free(block);
  EXPECT_NE(exporter.TryExport(block).code, ACL_SUCCESS) << "freed";
}

TEST(Export, OfHostMemoryIsRefused) {
  Party exporter = Party::OnHost(First());
  const aclError code = exporter.Call([] {
    void* memory = ::aligned_alloc(kHugePageBytes, kHugePageBytes);
    Key key = {};
    const aclError exported = aclrtIpcMemGetExportKey(memory, kHugePageBytes, key.text, kKeyBytes,
                                                      ACL_RT_IPC_MEM_EXPORT_FLAG_DEFAULT);
    ::free(memory);
    return exported;
  });
  EXPECT_NE(code, ACL_SUCCESS);
}

// More than that is not said of them: closing one of two may leave the other without an owner.
TEST(Export, OfOneAddressTwiceGivesTwoKeysThatImport) {
  Party exporter = Party::OnHost(First());
  Party one = Party::OnHost(First());
  Party other = Party::OnHost(First());
  const Block block = exporter.Allocate();
  exporter.Write(block.address, block.bytes, 7);
  const Key first = exporter.Export(block);
  const Key second = exporter.Export(block);
  EXPECT_STRNE(first.text, second.text);
  exporter.Admit(first, one);
  exporter.Admit(second, other);
  EXPECT_EQ(one.Read(one.Import(first), block.bytes), 7u);
  EXPECT_EQ(other.Read(other.Import(second), block.bytes), 7u);
}

TEST(Export, OfImportedMemoryIsRefused) {
  Party exporter = Party::OnHost(First());
  Party importer = Party::OnHost(First());
  const Block block = exporter.Allocate();
  const Key key = exporter.Export(block);
  exporter.Admit(key, importer);
  void* const imported = importer.Import(key);
  EXPECT_NE(importer.TryExport({imported, block.bytes}).code, ACL_SUCCESS);
}

TEST(NullPointer, IsAnInvalidParameterOfEveryCall) {
  Party party = Party::OnHost(First());
  const Block block = party.Allocate();
  EXPECT_EQ(party.TryExport({nullptr, kHugePageBytes}).code, ACL_ERROR_INVALID_PARAM);
  EXPECT_EQ(party.Call([](void* p) { return aclrtIpcMemGetExportKey(p, 4096, nullptr, 65, 0); },
                       block.address),
            ACL_ERROR_INVALID_PARAM);
  EXPECT_EQ(party.Call([] {
    int32_t pid = 1;
    return aclrtIpcMemSetImportPid(nullptr, &pid, 1);
  }),
            ACL_ERROR_INVALID_PARAM);
  const Key key = party.Export(block);
  EXPECT_EQ(party.Call([](Key k) { return aclrtIpcMemSetImportPid(k.text, nullptr, 1); }, key),
            ACL_ERROR_INVALID_PARAM);
  EXPECT_EQ(party.Call([](Key k) { return aclrtIpcMemImportByKey(nullptr, k.text, 0); }, key),
            ACL_ERROR_INVALID_PARAM);
  EXPECT_EQ(party.Call([] {
    void* memory = nullptr;
    return aclrtIpcMemImportByKey(&memory, nullptr, 0);
  }),
            ACL_ERROR_INVALID_PARAM);
  EXPECT_EQ(party.Call([] { return aclrtIpcMemClose(nullptr); }), ACL_ERROR_INVALID_PARAM);
  EXPECT_EQ(party.Call([] { return aclrtDeviceGetBareTgid(nullptr); }), ACL_ERROR_INVALID_PARAM);
}

}  // namespace
}  // namespace npu_ipc::conformance
