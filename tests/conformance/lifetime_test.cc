// Who outlives whom: importers close first, the exporter last, and what happens otherwise.
#include <gtest/gtest.h>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

constexpr uint64_t kPattern = 21;

// An exporter on the first device, and on the second an importer that has imported.
class Lifetime : public ::testing::Test {
 protected:
  Lifetime() {
    EnableP2PBothWays(exporter_, importer_);
    exporter_.Write(block_.address, block_.bytes, kPattern);
    exporter_.Admit(key_, importer_);
    imported_ = importer_.Import(key_);
    EXPECT_EQ(importer_.Read(imported_, block_.bytes), kPattern);
  }
  void ExpectNoAccess(Party& importer, void* imported) {
    EXPECT_NE(importer.TryRead(imported, block_.bytes).code, ACL_SUCCESS);
    EXPECT_NE(importer.TryWrite(imported, block_.bytes, 0), ACL_SUCCESS);
  }

  Party exporter_ = Party::OnHost(First());
  Party importer_ = Party::OnHost(Second());
  Block block_ = exporter_.Allocate();
  Key key_ = exporter_.Export(block_);
  void* imported_ = nullptr;
};

TEST_F(Lifetime, TheImporterClosesFirstTheExporterLast) {
  importer_.Close(key_);
  EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), kPattern);
  exporter_.Close(key_);
  EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), kPattern) << "closing does not free";
}

TEST_F(Lifetime, AClosedImportIsNotReachable) {
  // Allocated before: what is allocated after may get the address.
  const Block own = importer_.Allocate(block_.bytes);
  importer_.Close(key_);
  EXPECT_NE(importer_.TryCopy(own, imported_), ACL_SUCCESS);
  EXPECT_NE(importer_.TryCopy({imported_, block_.bytes}, own.address), ACL_SUCCESS);
  EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), kPattern);
}

TEST_F(Lifetime, AnExportedBlockIsFreedAfterItsClose) {
  importer_.Close(key_);
  exporter_.Close(key_);
  EXPECT_EQ(exporter_.TryFree(block_.address), ACL_SUCCESS);
}

TEST_F(Lifetime, AKilledExporterTakesThePagesWithIt) {
  exporter_.Kill();
  ExpectNoAccess(importer_, imported_);
  importer_.Close(key_);
}

TEST_F(Lifetime, AnExporterThatExitsTakesThePagesWithIt) {
  exporter_.Exit();
  ExpectNoAccess(importer_, imported_);
  importer_.Close(key_);
}

TEST_F(Lifetime, AnExporterThatClosesTakesThePagesBack) {
  exporter_.Close(key_);
  ExpectNoAccess(importer_, imported_);
  EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), kPattern);
  importer_.Close(key_);
}

TEST_F(Lifetime, AnExporterThatFreesTakesThePagesBack) {
  exporter_.Free(block_);
  ExpectNoAccess(importer_, imported_);
  importer_.Close(key_);
}

// Programs race there.
TEST_F(Lifetime, AnImportersCloseSucceedsAfterTheExporterHasClosedAndFreed) {
  exporter_.Close(key_);
  exporter_.Free(block_);
  importer_.Close(key_);
}

TEST_F(Lifetime, FreeingAnImportedPointerAfterItsCloseIsAnErrorAndNoCrash) {
  importer_.Close(key_);
  EXPECT_NE(importer_.TryFree(imported_), ACL_SUCCESS);
  EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), kPattern);
}

TEST_F(Lifetime, AKilledImporterLeavesTheExportersMemoryAndKey) {
  importer_.Kill();
  EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), kPattern);
  Party next = Party::OnHost(First());
  exporter_.Admit(key_, next);
  EXPECT_EQ(next.Read(next.Import(key_), block_.bytes), kPattern);
}

TEST_F(Lifetime, WhatAnImporterWroteOutlivesIt) {
  importer_.Write(imported_, block_.bytes, kPattern + 1);
  importer_.Kill();
  EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), kPattern + 1);
}

TEST_F(Lifetime, OneImportersCloseLeavesTheOthersTheirs) {
  Party other = Party::OnHost(First());
  exporter_.Admit(key_, other);
  void* const memory = other.Import(key_);
  importer_.Close(key_);
  EXPECT_EQ(other.Read(memory, block_.bytes), kPattern);
}

TEST_F(Lifetime, AnExportersCloseTakesThePagesFromEveryImporter) {
  Party other = Party::OnHost(First());
  exporter_.Admit(key_, other);
  void* const memory = other.Import(key_);
  exporter_.Close(key_);
  ExpectNoAccess(importer_, imported_);
  ExpectNoAccess(other, memory);
}

TEST_F(Lifetime, AStrangerCannotCloseAKey) {
  Party stranger = Party::OnHost(First());
  EXPECT_EQ(stranger.TryClose(key_), ACL_ERROR_RT_DRV_INTERNAL_ERROR);
  EXPECT_EQ(importer_.Read(imported_, block_.bytes), kPattern);
}

TEST_F(Lifetime, AnImporterCannotCloseTheExportersKey) {
  importer_.Close(key_);
  EXPECT_EQ(importer_.TryClose(key_), ACL_ERROR_RT_DRV_INTERNAL_ERROR) << "it has none open";
  imported_ = importer_.Import(key_);
  EXPECT_EQ(importer_.Read(imported_, block_.bytes), kPattern);
}

TEST_F(Lifetime, AKeyIsClosedOnce) {
  importer_.Close(key_);
  exporter_.Close(key_);
  EXPECT_EQ(exporter_.TryClose(key_), ACL_ERROR_RT_DRV_INTERNAL_ERROR);
}

// New pages under an old address are nobody's but their owner's.
TEST_F(Lifetime, AnOldKeyDoesNotReachWhatTheExporterAllocatesNext) {
  exporter_.Close(key_);
  exporter_.Free(block_);
  const Block next = exporter_.Allocate();
  exporter_.Write(next.address, next.bytes, kPattern + 2);
  ExpectNoAccess(importer_, imported_);
  importer_.Close(key_);
  EXPECT_EQ(importer_.TryImport(key_).code, ACL_ERROR_RT_DRV_INTERNAL_ERROR);
  EXPECT_EQ(exporter_.Read(next.address, next.bytes), kPattern + 2);
}

}  // namespace
}  // namespace npu_ipc::conformance
