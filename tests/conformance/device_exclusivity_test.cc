// A device belongs to one container at a time: to the first mount namespace that opens it.
#include <gtest/gtest.h>

#include <string>

#include "hal/dcmi/dcmi_interface_api.h"
#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

// Programs often do not look at what aclrtSetDevice returns: it must show in the next call too.
void ExpectNoDevice(Party& party) {
  EXPECT_NE(party.TrySetDevice(0), ACL_SUCCESS);
  EXPECT_EQ(party.Call([] {
    void* memory = nullptr;
    return aclrtMalloc(&memory, kHugePageBytes, ACL_MEM_MALLOC_HUGE_FIRST);
  }),
            ACL_ERROR_RT_CONTEXT_NULL);
}

TEST(Device, BelongsToOneContainer) {
  Party owner = Party::InContainer(First());
  Party other(Container({First()}));
  ExpectNoDevice(other);
  owner.Free(owner.Allocate());
}

TEST(Device, OfAnotherContainerIsBusyInDcmi) {
  constexpr int kInnerError = -8005, kResourceOccupied = -8020;
  Party owner = Party::InContainer(First());
  Party other(Container({First()}));
  const int code = other.Call([] {
    const int initialised = dcmi_init();
    unsigned int health = 0;
    return initialised != 0 ? initialised : dcmi_get_device_health(0, 0, &health);
  });
  EXPECT_TRUE(code == kInnerError || code == kResourceOccupied) << code;
}

TEST(Device, OfAnotherContainerIsNoHindrance) {
  Party one = Party::InContainer(First());
  Party other = Party::InContainer(Second());
  one.Allocate();
  other.Allocate();
}

TEST(Device, IsSharedByTheProcessesOfOneContainer) {
  Party one = Party::InContainer(First());
  Party other = Party::Beside(one);
  other.SetDevice(0);
  const Block block = one.Allocate();
  one.Write(block.address, block.bytes, 31);
  const Key key = one.Export(block);
  one.Admit(key, other);
  EXPECT_EQ(other.Read(other.Import(key), block.bytes), 31u);
}

// The mount namespace counts, not the process ids.
TEST(Device, BelongsToOneContainerAlsoWhereTheContainersSeeTheHostsProcessIds) {
  Surroundings with_host_pids = Container({First()});
  with_host_pids.own_pid_namespace = false;
  Party owner(with_host_pids);
  owner.SetDevice(0);
  EXPECT_EQ(owner.OwnPid(), owner.host_pid());
  Party other(with_host_pids);
  ExpectNoDevice(other);
}

TEST(Device, IsFreeAgainWhenItsContainersProcessesHaveEnded) {
  Party owner = Party::InContainer(First());
  Party other(Container({First()}));
  EXPECT_NE(other.TrySetDevice(0), ACL_SUCCESS);
  owner.Exit();
  other.SetDevice(0);
  other.Allocate();
}

TEST(Device, IsFreeAgainWhenItsContainerIsKilled) {
  Party owner = Party::InContainer(First());
  owner.Kill();
  Party other = Party::InContainer(First());
  other.Allocate();
}

TEST(Device, OfAContainerIsOpenToTheHostsProcesses) {
  Party owner = Party::InContainer(First());
  Party host = Party::OnHost(First());
  host.Allocate();
  owner.Allocate();
}

TEST(Device, OfAHostProcessIsOpenToOneContainer) {
  Party host = Party::OnHost(First());
  Party owner = Party::InContainer(First());
  owner.Allocate();
  Party other(Container({First()}));
  ExpectNoDevice(other);
}

TEST(Device, IsOpenToPrivilegedContainers) {
  Party owner = Party::InContainer(First());
  Party privileged(PrivilegedContainer({First()}));
  privileged.SetDevice(0);
  privileged.Allocate();
  Party another(PrivilegedContainer({First()}));
  another.SetDevice(0);
}

TEST(Device, IsSeenByAContainerOnlyIfItIsInItsDev) {
  Party one(Container({Second()}));
  EXPECT_EQ(one.DeviceCount(), 1u);
  EXPECT_EQ(Party(Container({First(), Second()})).DeviceCount(), 2u);
  EXPECT_NE(one.TrySetDevice(1), ACL_SUCCESS);
  one.SetDevice(0);
}

// Restores what the node had, also where a test fails.
class DeviceShare : public ::testing::Test {
 protected:
  DeviceShare() : before_(host_.DeviceShare(First())) { EXPECT_FALSE(before_) << "the default"; }
  ~DeviceShare() override { EXPECT_EQ(host_.TrySetDeviceShare(First(), before_), 0); }

  Party host_{Host()};
  bool before_;
};

TEST_F(DeviceShare, LetsSeveralContainersHaveOneDevice) {
  ASSERT_EQ(host_.TrySetDeviceShare(First(), true), 0);
  EXPECT_TRUE(host_.DeviceShare(First()));
  Party exporter = Party::InContainer(First());
  Party importer = Party::InContainer(First());
  const Block block = exporter.Allocate();
  exporter.Write(block.address, block.bytes, 32);
  const Key key = exporter.Export(block);
  exporter.Admit(key, importer);
  EXPECT_EQ(importer.Read(importer.Import(key), block.bytes), 32u);
  importer.Exit();
  exporter.Exit();
}

TEST_F(DeviceShare, DoesNotChangeWhileTheDeviceIsInUse) {
  Party owner = Party::InContainer(First());
  EXPECT_NE(host_.TrySetDeviceShare(First(), true), 0);
  EXPECT_FALSE(host_.DeviceShare(First()));
  Party other(Container({First()}));
  ExpectNoDevice(other);
  owner.Exit();
}

TEST_F(DeviceShare, IsNotForOrdinaryContainersToChange) {
  Party container(Container({First()}));
  EXPECT_NE(container.TrySetDeviceShare(First(), true), 0);
  EXPECT_FALSE(host_.DeviceShare(First()));
}

TEST_F(DeviceShare, IsForPrivilegedContainersToChange) {
  Party privileged(PrivilegedContainer({First()}));
  EXPECT_EQ(privileged.TrySetDeviceShare(First(), true), 0);
  EXPECT_TRUE(host_.DeviceShare(First()));
  privileged.Exit();
}

}  // namespace
}  // namespace npu_ipc::conformance
