// What lets one device reach another.
#include <gtest/gtest.h>

#include <vector>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

constexpr int kMaxProcessesPerDirection = 32;
constexpr int kFirstDeviceWithoutPeers = 16;

// An exporter with the first device and an importer with the second, each alone in a container that
// does not see the other's device.
class AcrossDevices : public ::testing::Test {
 protected:
  AcrossDevices() : block_(exporter_.Allocate()), key_(exporter_.Export(block_)) {
    exporter_.Write(block_.address, block_.bytes, 11);
    exporter_.Admit(key_, importer_);
  }
  void ExpectImportFails(uint64_t flags = ACL_RT_IPC_MEM_IMPORT_FLAG_DEFAULT) {
    EXPECT_NE(importer_.TryImport(key_, flags).code, ACL_SUCCESS);
    EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), 11u);
  }
  void ExpectImportWorks() {
    void* const imported = importer_.Import(key_);
    EXPECT_EQ(importer_.Read(imported, block_.bytes), 11u);
    importer_.Write(imported, block_.bytes, 12);
    EXPECT_EQ(exporter_.Read(block_.address, block_.bytes), 12u);
  }

  Party exporter_ = Party::InContainer(First());
  Party importer_ = Party::InContainer(Second());
  Block block_;
  Key key_;
};

TEST_F(AcrossDevices, AnImportFailsWithoutPeerAccess) { ExpectImportFails(); }

TEST_F(AcrossDevices, AnImportFailsWithTheImportersDirectionAlone) {
  importer_.EnableP2P(First());
  ExpectImportFails();
}

TEST_F(AcrossDevices, AnImportFailsWithTheExportersDirectionAlone) {
  exporter_.EnableP2P(Second());
  ExpectImportFails();
}

// By physical id: neither container has the other's device.
TEST_F(AcrossDevices, AnImportWorksWithBothDirections) {
  EnableP2PBothWays(exporter_, importer_);
  ExpectImportWorks();
}

TEST_F(AcrossDevices, TheDirectionsMayComeFromAnyProcess) {
  Party one = Party::OnHost(First());
  Party other = Party::OnHost(Second());
  EnableP2PBothWays(one, other);
  ExpectImportWorks();
}

TEST_F(AcrossDevices, ADirectionEndsWithTheProcessThatAskedForIt) {
  importer_.EnableP2P(First());
  Party helper = Party::OnHost(First());
  helper.EnableP2P(Second());
  helper.Exit();
  ExpectImportFails();
}

TEST_F(AcrossDevices, ADirectionEndsWhenItIsDisabled) {
  EnableP2PBothWays(exporter_, importer_);
  EXPECT_EQ(importer_.TryDisableP2P(First()), ACL_SUCCESS);
  ExpectImportFails();
}

// The runtime turns the exporter's physical id into one of the importer's own ids first.
TEST_F(AcrossDevices, TheEnablePeerAccessFlagFailsWithAnInvisiblePeer) {
  ExpectImportFails(ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS);
}

TEST_F(AcrossDevices, TheEnablePeerAccessFlagFailsWithAnInvisiblePeerInSpiteOfBothDirections) {
  EnableP2PBothWays(exporter_, importer_);
  ExpectImportFails(ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS);
}

TEST_F(AcrossDevices, TheEnablePeerAccessFlagEnablesBothDirectionsWithAVisiblePeer) {
  Party sees_both = Party::OnHost(Second());
  exporter_.Admit(key_, sees_both);
  void* const imported = sees_both.Import(key_, ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS);
  EXPECT_EQ(sees_both.Read(imported, block_.bytes), 11u);
}

TEST_F(AcrossDevices, AnInvisiblePeerHasNoUserId) {
  EXPECT_NE(importer_.TryEnablePeerAccess(First() == 0 ? 1 : First()), ACL_SUCCESS);
  ExpectImportFails();
}

TEST(PeerAccess, ByPhysicalIdIsEnabledWhenBothDirectionsAre) {
  Party one = Party::OnHost(First());
  Party other = Party::OnHost(Second());
  EXPECT_FALSE(one.P2PIsEnabled(Second()));
  one.EnableP2P(Second());
  EXPECT_FALSE(one.P2PIsEnabled(Second()));
  other.EnableP2P(First());
  EXPECT_TRUE(one.P2PIsEnabled(Second()));
  EXPECT_TRUE(other.P2PIsEnabled(First()));
}

TEST(PeerAccess, ByUserIdIsOneDirectionACall) {
  Party one = Party::OnHost(First());
  Party other = Party::OnHost(Second());
  EXPECT_TRUE(one.CanAccessPeer(First(), Second()));
  EXPECT_EQ(one.TryEnablePeerAccess(Second()), ACL_SUCCESS);
  EXPECT_FALSE(one.PeerAccessIsEnabled(First(), Second()));
  EXPECT_EQ(other.TryEnablePeerAccess(First()), ACL_SUCCESS);
  EXPECT_TRUE(one.PeerAccessIsEnabled(First(), Second()));
  EXPECT_EQ(one.TryDisablePeerAccess(Second()), ACL_SUCCESS);
  EXPECT_FALSE(one.PeerAccessIsEnabled(First(), Second()));
}

TEST(PeerAccess, ToTheOwnDeviceIsAnInvalidParameter) {
  Party party = Party::OnHost(First());
  EXPECT_EQ(party.TryEnablePeerAccess(First()), ACL_ERROR_INVALID_PARAM);
}

TEST(PeerAccess, TakesNoFlags) {
  Party party = Party::OnHost(First());
  EXPECT_EQ(party.TryEnablePeerAccess(Second(), 1), ACL_ERROR_FEATURE_UNSUPPORTED);
}

TEST(PeerAccess, ReachesNoDeviceFromTheSixteenthOn) {
  Party party = Party::OnHost(First());
  EXPECT_NE(party.TryEnableP2P(kFirstDeviceWithoutPeers), ACL_SUCCESS);
}

TEST(PeerAccess, IsGivenToThirtyTwoProcessesADirection) {
  std::vector<Party> processes;
  for (int i = 0; i < kMaxProcessesPerDirection; ++i) {
    processes.push_back(Party::OnHost(First()));
    processes.back().EnableP2P(Second());
  }
  Party another = Party::OnHost(First());
  EXPECT_EQ(another.TryEnableP2P(Second()), ACL_ERROR_RT_MEMORY_ALLOCATION);
  // The other direction has a count of its own, and a process that ends gives its place back.
  EXPECT_EQ(Party::OnHost(Second()).TryEnableP2P(First()), ACL_SUCCESS);
  processes.front().Kill();
  EXPECT_EQ(another.TryEnableP2P(Second()), ACL_SUCCESS);
}

}  // namespace
}  // namespace npu_ipc::conformance
