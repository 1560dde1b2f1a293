// What an import gives, and which are refused for other reasons than the whitelist.
#include <gtest/gtest.h>
#include <string.h>

#include <string>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

// An exporter on the first device, and a listed importer there.
class Import : public ::testing::Test {
 protected:
  Import() : block_(exporter_.Allocate()), key_(exporter_.Export(block_)) {
    exporter_.Admit(key_, importer_);
  }

  // The key with some of its characters replaced.
  Key Altered(size_t begin, const std::string& characters) const {
    Key altered = key_;
    ::memcpy(altered.text + begin, characters.data(), characters.size());
    return altered;
  }

  Party exporter_ = Party::OnHost(First());
  Party importer_ = Party::OnHost(First());
  Block block_;
  Key key_;
};

TEST_F(Import, GivesTheExportersMemory) {
  exporter_.Write(block_.address, block_.bytes, 1);
  void* const imported = importer_.Import(key_);
  EXPECT_EQ(importer_.Read(imported, block_.bytes), 1u);
  importer_.Write(imported, block_.bytes, 2);
  EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), 2u);
  exporter_.Write(block_.address, block_.bytes, 3);
  EXPECT_EQ(importer_.Read(imported, block_.bytes), 3u);
}

TEST_F(Import, OfAKeyThatNobodyGaveOutFails) {
  EXPECT_EQ(importer_.TryImport(Altered(8, "ffffffffffffffff")).code,
            ACL_ERROR_RT_DRV_INTERNAL_ERROR);
}

TEST_F(Import, OfAClosedKeyFails) {
  exporter_.Close(key_);
  EXPECT_EQ(importer_.TryImport(key_).code, ACL_ERROR_RT_DRV_INTERNAL_ERROR);
}

TEST_F(Import, TakesNamesOfOneToSixtyFourCharacters) {
  const auto import = [](std::array<char, 80> name) {
    void* memory = nullptr;
    return aclrtIpcMemImportByKey(&memory, name.data(), ACL_RT_IPC_MEM_IMPORT_FLAG_DEFAULT);
  };
  std::array<char, 80> name = {};
  EXPECT_EQ(importer_.Call(import, name), ACL_ERROR_RT_PARAM_INVALID) << "empty";
  name.fill('0');
  name[65] = '\0';
  EXPECT_EQ(importer_.Call(import, name), ACL_ERROR_RT_PARAM_INVALID) << "65 characters";
}

// The HAL counts; the driver opens a key once for a process.
TEST_F(Import, ASecondTimeGivesTheSameAddressAndNeedsASecondClose) {
  exporter_.Write(block_.address, block_.bytes, 5);
  const Block own = importer_.Allocate(block_.bytes);
  void* const first = importer_.Import(key_);
  EXPECT_EQ(importer_.Import(key_), first);
  importer_.Close(key_);
  EXPECT_EQ(importer_.Read(first, block_.bytes), 5u);
  importer_.Close(key_);
  EXPECT_NE(importer_.TryCopy(own, first), ACL_SUCCESS);
}

TEST_F(Import, OnASecondDeviceOfTheSameProcessFails) {
  Party elsewhere = Party::OnHost(Second());
  EnableP2PBothWays(exporter_, elsewhere);
  exporter_.Write(block_.address, block_.bytes, 6);
  void* const imported = importer_.Import(key_);
  importer_.SetDevice(Second());
  EXPECT_NE(importer_.TryImport(key_).code, ACL_SUCCESS);
  importer_.SetDevice(First());
  EXPECT_EQ(importer_.Read(imported, block_.bytes), 6u);
}

TEST_F(Import, ThatWasRefusedLeavesNothingBehind) {
  Party late = Party::OnHost(First());
  exporter_.Write(block_.address, block_.bytes, 8);
  EXPECT_EQ(late.TryImport(key_).code, ACL_ERROR_RT_DRV_INTERNAL_ERROR);
  EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), 8u);
  exporter_.Admit(key_, late);
  EXPECT_EQ(late.Read(late.Import(key_), block_.bytes), 8u);
}

TEST_F(Import, OnTheExportersDeviceNeedsNoPeerAccess) {
  const Answer<void*> plain = importer_.TryImport(key_, ACL_RT_IPC_MEM_IMPORT_FLAG_DEFAULT);
  EXPECT_EQ(plain.code, ACL_SUCCESS);
  importer_.Close(key_);
  const Answer<void*> flagged =
      importer_.TryImport(key_, ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS);
  EXPECT_EQ(flagged.code, ACL_SUCCESS);
}

TEST_F(Import, ByTwoProcessesIsOneMemory) {
  Party other = Party::OnHost(First());
  exporter_.Admit(key_, other);
  void* const one = importer_.Import(key_);
  void* const two = other.Import(key_);
  importer_.Write(one, block_.bytes, 9);
  EXPECT_EQ(other.Read(two, block_.bytes), 9u);
}

}  // namespace
}  // namespace npu_ipc::conformance
