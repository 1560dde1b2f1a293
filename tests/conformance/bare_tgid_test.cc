// aclrtDeviceGetBareTgid: the process id that whitelists go by.
#include <gtest/gtest.h>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

TEST(BareTgid, OnTheHostIsTheProcessId) {
  Party party = Party::OnHost(First());
  EXPECT_EQ(party.BareTgid(), party.host_pid());
}

TEST(BareTgid, InAPidNamespaceIsTheProcessIdOnTheHost) {
  Party party = Party::InContainer(First());
  EXPECT_NE(party.OwnPid(), party.host_pid());
  EXPECT_EQ(party.BareTgid(), party.host_pid());
}

TEST(BareTgid, OfEveryThreadIsThatOfItsProcess) {
  Party party = Party::InContainer(First());
  EXPECT_EQ(party.OnNewThread().BareTgid(), party.host_pid());
}

TEST(BareTgid, NeedsNoDevice) {
  Party party(Container({First()}));
  EXPECT_EQ(party.BareTgid(), party.host_pid());
}

}  // namespace
}  // namespace npu_ipc::conformance
