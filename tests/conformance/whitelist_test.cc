// Who may import: the list that a key's creator fills, by process id on the host.
#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

constexpr size_t kMaxPidsPerKey = 32768;
// Process ids that no process has: above the kernel's own limit.
constexpr int32_t kFirstUnusedPid = 1 << 23;

std::vector<int32_t> UnusedPids(size_t count, int32_t first = kFirstUnusedPid) {
  std::vector<int32_t> pids(count);
  std::iota(pids.begin(), pids.end(), first);
  return pids;
}

// Start times may be known no better than the kernel shows them.
void WaitForTheNextClockTick() {
  const auto tick = [] {
    timespec now = {};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    const int64_t ticks_per_second = ::sysconf(_SC_CLK_TCK);
    return now.tv_sec * ticks_per_second + now.tv_nsec / (1000000000 / ticks_per_second);
  };
  const int64_t before = tick();
  ASSERT_TRUE(WaitUntil([&] { return tick() > before; }));
}

// An exporter of one block that holds `kPattern`, on the first device.
constexpr uint64_t kPattern = 42;

class Whitelist : public ::testing::Test {
 protected:
  explicit Whitelist(uint64_t export_flags = ACL_RT_IPC_MEM_EXPORT_FLAG_DEFAULT)
      : block_(exporter_.Allocate()), key_(exporter_.Export(block_, export_flags)) {
    exporter_.Write(block_.address, block_.bytes, kPattern);
  }

  // Imports, reads and closes.
  void ExpectMayImport(Party& importer) {
    void* const imported = importer.Import(key_);
    EXPECT_EQ(importer.Read(imported, block_.bytes), kPattern);
    importer.Close(key_);
  }
  void ExpectMayNotImport(Party& importer) {
    EXPECT_EQ(importer.TryImport(key_).code, ACL_ERROR_RT_DRV_INTERNAL_ERROR);
  }

  Party exporter_ = Party::OnHost(First());
  Block block_;
  Key key_;
};

TEST_F(Whitelist, AProcessThatIsNotListedCannotImport) {
  Party listed = Party::OnHost(First());
  Party other = Party::OnHost(First());
  exporter_.Admit(key_, listed);
  ExpectMayNotImport(other);
  ExpectMayImport(listed);
}

TEST_F(Whitelist, IsEmptyToBeginWith) {
  Party importer = Party::OnHost(First());
  ExpectMayNotImport(importer);
}

TEST_F(Whitelist, GoesByTheProcessIdOnTheHost) {
  Party importer = Party::InContainer(Second());
  EnableP2PBothWays(exporter_, importer);
  exporter_.SetImportPids(key_, {importer.host_pid()});
  ExpectMayImport(importer);
}

TEST_F(Whitelist, DoesNotGoByTheProcessIdInTheImportersNamespace) {
  Party importer = Party::InContainer(Second());
  EnableP2PBothWays(exporter_, importer);
  ASSERT_NE(importer.OwnPid(), importer.host_pid());
  exporter_.SetImportPids(key_, {importer.OwnPid()});
  ExpectMayNotImport(importer);
}

TEST_F(Whitelist, APidIsListedOnlyIfItsProcessWasAlreadyRunning) {
  std::unique_ptr<Process> late;
  for (int attempt = 0; late == nullptr && attempt < 100; ++attempt) {
    // A process id that was in use a moment ago is free for a while.
    const pid_t pid = Process(Host()).pid();
    exporter_.SetImportPids(key_, {pid});
    WaitForTheNextClockTick();
    late = Process::WithPid(pid);
  }
  ASSERT_NE(late, nullptr);
  Party importer = Party::Of(std::move(late), First());
  ExpectMayNotImport(importer);
  // Listing it again refreshes the time that its start is held against.
  exporter_.SetImportPids(key_, {importer.host_pid()});
  ExpectMayImport(importer);
}

TEST_F(Whitelist, CallsAppend) {
  Party one = Party::OnHost(First());
  Party other = Party::OnHost(First());
  exporter_.Admit(key_, one);
  exporter_.Admit(key_, other);
  ExpectMayImport(one);
  ExpectMayImport(other);
}

TEST_F(Whitelist, TakesThirtyOnePidsACall) {
  Party importer = Party::OnHost(First());
  std::vector<int32_t> pids = UnusedPids(kMaxPidsPerCall);
  pids.back() = importer.host_pid();
  exporter_.SetImportPids(key_, pids);
  ExpectMayImport(importer);
}

TEST_F(Whitelist, TakesNoThirtySecondPidInACall) {
  Party importer = Party::OnHost(First());
  std::vector<int32_t> pids = UnusedPids(kMaxPidsPerCall + 1);
  pids.front() = importer.host_pid();
  EXPECT_EQ(exporter_.TrySetImportPids(key_, pids), ACL_ERROR_RT_PARAM_INVALID);
  ExpectMayNotImport(importer);
  EXPECT_EQ(exporter_.TrySetImportPids(key_, {}), ACL_ERROR_RT_PARAM_INVALID) << "none at all";
}

TEST_F(Whitelist, Takes32768PidsAKey) {
  Party importer = Party::OnHost(First());
  exporter_.SetImportPids(key_, {importer.host_pid()});
  // In one call to the party: it makes more than a thousand to the driver.
  const aclError filled = exporter_.Call(
      [](Key key, size_t count) {
        int32_t next = kFirstUnusedPid;
        while (count > 0) {
          int32_t pids[kMaxPidsPerCall];
          const size_t batch = std::min(count, kMaxPidsPerCall);
          std::iota(pids, pids + batch, next);
          const aclError code = aclrtIpcMemSetImportPid(key.text, pids, batch);
          if (code != ACL_SUCCESS) return code;
          next += static_cast<int32_t>(batch);
          count -= batch;
        }
        return ACL_SUCCESS;
      },
      key_, kMaxPidsPerKey - 1);
  EXPECT_EQ(filled, ACL_SUCCESS);
  EXPECT_NE(exporter_.TrySetImportPids(key_, {1 << 24}), ACL_SUCCESS);
  ExpectMayImport(importer);
}

// There is no call that takes a process off, and closing does not.
TEST_F(Whitelist, AListedProcessMayImportAgainAfterItsClose) {
  Party importer = Party::OnHost(First());
  exporter_.Admit(key_, importer);
  ExpectMayImport(importer);
  ExpectMayImport(importer);
}

TEST_F(Whitelist, IsForTheCreatorAloneToFill) {
  Party importer = Party::OnHost(First());
  Party stranger = Party::OnHost(First());
  exporter_.Admit(key_, importer);
  const aclError code = importer.TrySetImportPids(key_, {stranger.host_pid()});
  EXPECT_EQ(code, ACL_ERROR_RT_DRV_INTERNAL_ERROR);
  EXPECT_EQ(stranger.TrySetImportPids(key_, {stranger.host_pid()}),
            ACL_ERROR_RT_DRV_INTERNAL_ERROR);
  ExpectMayNotImport(stranger);
}

TEST_F(Whitelist, SkipsPidZeroAndTheCreatorsOwn) {
  Party importer = Party::OnHost(First());
  exporter_.SetImportPids(key_, {0, exporter_.host_pid(), importer.host_pid()});
  ExpectMayImport(importer);
}

TEST_F(Whitelist, RefusesACallOfWhichNothingIsLeftToList) {
  EXPECT_EQ(exporter_.TrySetImportPids(key_, {0}), ACL_ERROR_RT_DRV_INTERNAL_ERROR);
  EXPECT_EQ(exporter_.TrySetImportPids(key_, {exporter_.host_pid()}),
            ACL_ERROR_RT_DRV_INTERNAL_ERROR);
}

TEST_F(Whitelist, NeverHoldsTheCreatorItself) {
  Party importer = Party::OnHost(First());
  exporter_.SetImportPids(key_, {exporter_.host_pid(), importer.host_pid()});
  ExpectMayNotImport(exporter_);
}

TEST_F(Whitelist, OfAnUnknownKeyCannotBeFilled) {
  Party importer = Party::OnHost(First());
  exporter_.Close(key_);
  EXPECT_EQ(exporter_.TrySetImportPids(key_, {importer.host_pid()}),
            ACL_ERROR_RT_DRV_INTERNAL_ERROR);
}

class NoWhitelist : public Whitelist {
 protected:
  NoWhitelist() : Whitelist(ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION) {}
};

TEST_F(NoWhitelist, AnyProcessMayImport) {
  Party one = Party::OnHost(First());
  Party other = Party::InContainer(Second());
  EnableP2PBothWays(exporter_, other);
  ExpectMayImport(one);
  ExpectMayImport(other);
}

TEST_F(NoWhitelist, PidsCannotBeSet) {
  Party importer = Party::OnHost(First());
  EXPECT_EQ(exporter_.TrySetImportPids(key_, {importer.host_pid()}), ACL_ERROR_RT_NO_PERMISSION);
}

}  // namespace
}  // namespace npu_ipc::conformance
