#include "hal/sim/driver/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <numeric>
#include <vector>

#include "hal/sim/driver/audit_files.h"
#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {
namespace {

const PeerAccess::Linked kAllLinked = [](uint32_t, uint32_t) { return true; };

constexpr pid_t kExporter = 100;
constexpr pid_t kImporter = 200;
constexpr uint64_t kHandle = 7;
constexpr uint64_t kPage = uint64_t{2} << 20;
constexpr uint64_t kTickNanoseconds = 10000000;

// What the observer was last told of each share.
class RecordingObserver : public ShareObserver {
 public:
  void OnChanged(const Share& share) override { text[share.key] = AuditFiles::Describe(share); }
  void OnRemoved(const Share& share) override { text.erase(share.key); }
  std::map<std::string, std::string> text;
};

class SharesTest : public ::testing::Test {
 protected:
  SharesTest() : page_(ValidityPage::Create()) {
    words_ = static_cast<const uint32_t*>(
        ::mmap(nullptr, kValiditySlots * sizeof(uint32_t), PROT_READ, MAP_SHARED, page_->fd(), 0));
    EXPECT_NE(words_, MAP_FAILED);
  }
  ~SharesTest() override {
    ::munmap(const_cast<uint32_t*>(words_), kValiditySlots * sizeof(uint32_t));
  }

  Shares::Options Options(bool super_pod = false) {
    Shares::Options options;
    options.keys_name_super_pod_device = super_pod;
    options.boot_time_ns = [this] { return now_; };
    return options;
  }

  static SharedMemory OnDevice(uint32_t device) {
    SharedMemory memory;
    memory.handle = kHandle;
    memory.device = device;
    memory.length = kPage;
    memory.page_bytes = kPage;
    memory.address = 0x120000000000;
    return memory;
  }

  std::string Create(uint32_t device = 0) {
    std::string key;
    EXPECT_TRUE(shares_.Create(kExporter, OnDevice(device), kPage, 0, &key).ok());
    return key;
  }

  Verdict List(const std::string& key, std::vector<int32_t> pids, pid_t caller = kExporter) {
    return shares_.SetPids(caller, key, pids.data(), static_cast<uint32_t>(pids.size()));
  }

  // Started 100 s after boot, unless said.
  Verdict Open(const std::string& key, pid_t pid = kImporter, uint32_t device = 0,
               uint64_t start_ticks = 10000) {
    ProcessFacts facts;
    facts.pid = pid;
    facts.start_time_ticks = start_ticks;
    return shares_.Open(facts, *page_, key, device, 0x130000000000, &opening_);
  }

  bool Reachable() const { return words_[opening_->slot] == 1; }

  uint64_t now_ = uint64_t{200} * 1000000000;  // 200 s after boot
  RecordingObserver observer_;
  PeerAccess peers_{8, kAllLinked};
  std::unique_ptr<ValidityPage> page_;
  const uint32_t* words_;
  Shares shares_{Options(), peers_, &observer_};
  const ShareOpening* opening_ = nullptr;
};

TEST_F(SharesTest, KeysHaveTheDriversForm) {
  const std::string first = Create(3);
  //                 tgid      counter         device, vf, zeros to 64
  EXPECT_EQ(first, "0000006400000000000000010300" + std::string(36, '0'));
  EXPECT_EQ(Create(3).substr(8, 16), "0000000000000002");
}

TEST_F(SharesTest, KeysOfASuperPodNameTheDevicesPlaceInIt) {
  PeerAccess peers(8, kAllLinked);
  Shares shares(Options(/*super_pod=*/true), peers, nullptr);
  std::string key;
  ASSERT_TRUE(shares.Create(kExporter, OnDevice(3), kPage, 0x00050003, &key).ok());
  EXPECT_EQ(key, "000000640000000000000001030000050003" + std::string(28, '0'));
}

TEST_F(SharesTest, OnlyAPageAlignedPartOfOneAllocationIsShared) {
  std::string key;
  SharedMemory memory = OnDevice(0);
  memory.offset = 4096;
  EXPECT_EQ(shares_.Create(kExporter, memory, 2 * kPage, 0, &key).error, EINVAL);
  memory.offset = kPage;
  EXPECT_TRUE(shares_.Create(kExporter, memory, 2 * kPage, 0, &key).ok());
  memory.length = kPage + 1;
  EXPECT_EQ(shares_.Create(kExporter, memory, 2 * kPage, 0, &key).error, EINVAL);
  memory.length = UINT64_MAX;
  EXPECT_EQ(shares_.Create(kExporter, memory, 2 * kPage, 0, &key).error, EINVAL);
  memory.length = 0;
  EXPECT_EQ(shares_.Create(kExporter, memory, 2 * kPage, 0, &key).error, EINVAL);
  memory.offset = 2 * kPage;
  memory.length = 1;
  EXPECT_EQ(shares_.Create(kExporter, memory, 2 * kPage, 0, &key).error, EINVAL);
}

TEST_F(SharesTest, AListedProcessOpensOnceAtATime) {
  const std::string key = Create();
  ASSERT_TRUE(List(key, {kImporter}).ok());
  ASSERT_TRUE(Open(key).ok());
  EXPECT_TRUE(Reachable());
  EXPECT_EQ(Open(key).error, EINVAL);
  EXPECT_TRUE(shares_.Close(kImporter, key).ok());
  EXPECT_EQ(shares_.Close(kImporter, key).error, EINVAL);
  EXPECT_TRUE(Open(key).ok()) << "there is no way to take a pid off";
}

TEST_F(SharesTest, AProcessThatIsNotListedAndAnUnknownKeyAreRefused) {
  const std::string key = Create();
  ASSERT_TRUE(List(key, {kImporter}).ok());
  EXPECT_EQ(Open(key, kImporter + 1).error, EINVAL);
  EXPECT_EQ(Open(key, kExporter).error, EINVAL);
  EXPECT_EQ(Open(std::string(64, '0')).error, EINVAL);
  EXPECT_EQ(Open("nonsense").error, EINVAL);
  EXPECT_EQ(shares_.Close(kImporter, "nonsense").error, EINVAL);
}

TEST_F(SharesTest, OnlyTheCreatorListsProcesses) {
  const std::string key = Create();
  EXPECT_EQ(List(key, {kImporter}, kImporter).error, EINVAL);
  EXPECT_EQ(List("nonsense", {kImporter}).error, EINVAL);
}

TEST_F(SharesTest, OneToThirtyOneProcessesAreListedACallAndCallsAppend) {
  const std::string key = Create();
  std::vector<int32_t> pids(kMaxPidsPerCall + 1);
  std::iota(pids.begin(), pids.end(), 1000);
  EXPECT_EQ(List(key, {}).error, EINVAL);
  EXPECT_EQ(List(key, pids).error, EINVAL);
  pids.pop_back();
  EXPECT_TRUE(List(key, pids).ok());
  EXPECT_TRUE(List(key, {2000}).ok());
  EXPECT_EQ(shares_.Find(key)->whitelist.size(), kMaxPidsPerCall + 1);
}

TEST_F(SharesTest, PidZeroAndTheCreatorsOwnAreSkipped) {
  const std::string key = Create();
  EXPECT_EQ(List(key, {0, kExporter}).error, EINVAL);
  EXPECT_TRUE(List(key, {0, kImporter, kExporter}).ok());
  EXPECT_EQ(shares_.Find(key)->whitelist.size(), 1U);
}

TEST_F(SharesTest, AWhitelistHasRoomFor32768Processes) {
  PeerAccess peers(8, kAllLinked);
  Shares shares(Options(), peers, /*observer=*/nullptr);
  std::string key;
  ASSERT_TRUE(shares.Create(kExporter, OnDevice(0), kPage, 0, &key).ok());
  std::vector<int32_t> pids(kMaxPidsPerCall);
  for (int call = 0; call < 1057; ++call) {  // 32767 processes
    std::iota(pids.begin(), pids.end(), 1000 + call * 31);
    ASSERT_TRUE(shares.SetPids(kExporter, key, pids.data(), kMaxPidsPerCall).ok());
  }
  const int32_t last[] = {90001, 90002};
  EXPECT_EQ(shares.SetPids(kExporter, key, last, 2).error, EINVAL);
  EXPECT_TRUE(shares.SetPids(kExporter, key, last, 1).ok());
  EXPECT_EQ(shares.SetPids(kExporter, key, last, 1).error, EINVAL)
      << "also to list one anew: the driver counts before it looks";
  EXPECT_EQ(shares.Find(key)->whitelist.size(), 32768U);
}

TEST_F(SharesTest, WithoutAWhitelistAnyProcessOpensAndNoneCanBeListed) {
  const std::string key = Create();
  EXPECT_EQ(shares_.DisableWhitelist(kImporter, key).error, EPERM);
  EXPECT_EQ(shares_.DisableWhitelist(kExporter, "nonsense").error, EINVAL);
  ASSERT_TRUE(shares_.DisableWhitelist(kExporter, key).ok());
  EXPECT_EQ(List(key, {kImporter}).error, EPERM);
  EXPECT_TRUE(Open(key).ok());
  EXPECT_EQ(Open(key).error, EINVAL) << "still once a process";
  EXPECT_TRUE(Open(key, kExporter).ok()) << "nothing keeps the creator itself from it";
}

TEST_F(SharesTest, TheWhitelistStaysOnceAProcessIsListed) {
  const std::string key = Create();
  ASSERT_TRUE(List(key, {kImporter}).ok());
  EXPECT_EQ(shares_.DisableWhitelist(kExporter, key).error, EPERM);
}

TEST_F(SharesTest, AProcessMustBeRunningWhenItIsListed) {
  const std::string key = Create();
  now_ = 200 * kTickNanoseconds + 1;
  ASSERT_TRUE(List(key, {kImporter}).ok());
  EXPECT_EQ(Open(key, kImporter, 0, /*start_ticks=*/201).error, EINVAL);
  now_ = 201 * kTickNanoseconds;
  ASSERT_TRUE(List(key, {kImporter}).ok()) << "listing again refreshes the time";
  EXPECT_TRUE(Open(key, kImporter, 0, /*start_ticks=*/201).ok());
}

TEST_F(SharesTest, AProcessThatStartedInTheTickInWhichItIsListedIsLetIn) {
  const std::string key = Create();
  // Started at 2.004 s, which the kernel shows as tick 200; listed at 2.0041 s.
  now_ = 200 * kTickNanoseconds + 4100000;
  ASSERT_TRUE(List(key, {kImporter}).ok());
  EXPECT_TRUE(Open(key, kImporter, 0, /*start_ticks=*/200).ok());
}

TEST_F(SharesTest, DestroyPullsThePagesAndTheImporterStillCloses) {
  const std::string key = Create();
  ASSERT_TRUE(List(key, {kImporter, kImporter + 1}).ok());
  ASSERT_TRUE(Open(key).ok());
  EXPECT_EQ(shares_.Destroy(kImporter, key).error, EACCES);
  EXPECT_TRUE(Reachable());
  ASSERT_TRUE(shares_.Destroy(kExporter, key).ok());
  EXPECT_FALSE(Reachable());
  EXPECT_EQ(Open(key, kImporter + 1).error, EINVAL);
  EXPECT_EQ(List(key, {kImporter}).error, EFAULT);
  EXPECT_EQ(shares_.Destroy(kExporter, key).error, EFAULT);
  EXPECT_TRUE(shares_.Close(kImporter, key).ok());
  EXPECT_EQ(shares_.Find(key), nullptr);
  EXPECT_EQ(shares_.Destroy(kExporter, key).error, EINVAL);
}

TEST_F(SharesTest, FreedMemoryCannotBeOpenedAndItsShareStillBeDestroyed) {
  const std::string key = Create();
  ASSERT_TRUE(List(key, {kImporter, kImporter + 1}).ok());
  ASSERT_TRUE(Open(key).ok());
  shares_.PullPages(kHandle);
  EXPECT_FALSE(Reachable());
  EXPECT_EQ(Open(key, kImporter + 1).error, EINVAL);
  EXPECT_TRUE(shares_.Close(kImporter, key).ok());
  EXPECT_EQ(Open(key).error, EINVAL);
  EXPECT_TRUE(shares_.Destroy(kExporter, key).ok());
}

TEST_F(SharesTest, TheExportersEndPullsThePages) {
  const std::string key = Create();
  ASSERT_TRUE(List(key, {kImporter}).ok());
  ASSERT_TRUE(Open(key).ok());
  shares_.Release(kExporter);
  EXPECT_FALSE(Reachable());
  EXPECT_TRUE(shares_.Close(kImporter, key).ok());
  EXPECT_EQ(shares_.Find(key), nullptr);
}

TEST_F(SharesTest, TheImportersEndClosesItsOpensAndTheShareStays) {
  const std::string key = Create();
  ASSERT_TRUE(List(key, {kImporter}).ok());
  ASSERT_TRUE(Open(key).ok());
  shares_.Release(kImporter);
  EXPECT_EQ(shares_.Find(key)->openings, 0U);
  EXPECT_TRUE(Open(key).ok()) << "its entry stays: a pid is never taken off";
}

TEST_F(SharesTest, AcrossDevicesBothDirectionsOfPeerAccessAreNeeded) {
  const std::string key = Create(/*device=*/0);
  ASSERT_TRUE(List(key, {kImporter}).ok());
  EXPECT_EQ(Open(key, kImporter, 1).error, EINVAL);
  ASSERT_TRUE(peers_.Enable(kImporter, 1, 0).ok());
  EXPECT_EQ(Open(key, kImporter, 1).error, EINVAL);
  ASSERT_TRUE(peers_.Enable(kExporter, 0, 1).ok());
  EXPECT_TRUE(Open(key, kImporter, 1).ok());
  EXPECT_TRUE(Reachable());
}

TEST_F(SharesTest, PagesAcrossDevicesAreReachableWhilePeerAccessIsOn) {
  const std::string key = Create(/*device=*/0);
  ASSERT_TRUE(List(key, {kImporter}).ok());
  ASSERT_TRUE(peers_.Enable(kImporter, 1, 0).ok());
  ASSERT_TRUE(peers_.Enable(kExporter, 0, 1).ok());
  ASSERT_TRUE(Open(key, kImporter, 1).ok());
  ASSERT_TRUE(peers_.Disable(kExporter, 0, 1).ok());
  EXPECT_FALSE(Reachable());
  ASSERT_TRUE(peers_.Enable(kExporter, 0, 1).ok());
  EXPECT_TRUE(Reachable());
  ASSERT_TRUE(shares_.Destroy(kExporter, key).ok());
  ASSERT_TRUE(peers_.Disable(kExporter, 0, 1).ok());
  ASSERT_TRUE(peers_.Enable(kExporter, 0, 1).ok());
  EXPECT_FALSE(Reachable()) << "what was pulled stays pulled";
}

TEST_F(SharesTest, ClosingADeviceTakesBackWhatIsThere) {
  const std::string here = Create(0), there = Create(1);
  ASSERT_TRUE(List(here, {kImporter}).ok());
  shares_.ReleaseOnDevice(kExporter, 0);
  EXPECT_EQ(shares_.Find(here), nullptr);
  EXPECT_NE(shares_.Find(there), nullptr);
  ASSERT_TRUE(List(there, {kImporter}).ok());
  ASSERT_TRUE(Open(there, kImporter, 1).ok());
  shares_.ReleaseOnDevice(kImporter, 0);
  EXPECT_TRUE(Reachable());
  shares_.ReleaseOnDevice(kImporter, 1);
  EXPECT_EQ(shares_.Find(there)->openings, 0U);
}

TEST_F(SharesTest, TwoSharesOfOneAddressAreBothOpened) {
  const std::string first = Create(), second = Create();
  EXPECT_NE(first, second);
  ASSERT_TRUE(List(first, {kImporter}).ok());
  ASSERT_TRUE(List(second, {kImporter}).ok());
  EXPECT_TRUE(Open(first).ok());
  EXPECT_TRUE(Open(second).ok());
}

TEST_F(SharesTest, EverySlotOfAProcessIsUsedOnceAtATime) {
  std::vector<std::string> keys;
  std::vector<uint32_t> slots;
  for (int i = 0; i < 3; ++i) {
    keys.push_back(Create());
    ASSERT_TRUE(List(keys.back(), {kImporter}).ok());
    ASSERT_TRUE(Open(keys.back()).ok());
    slots.push_back(opening_->slot);
  }
  EXPECT_NE(slots[0], slots[1]);
  EXPECT_NE(slots[1], slots[2]);
  ASSERT_TRUE(shares_.Close(kImporter, keys[1]).ok());
  EXPECT_EQ(words_[slots[1]], 0U);
  EXPECT_EQ(words_[slots[2]], 1U);
  ASSERT_TRUE(Open(keys[1]).ok());
  EXPECT_EQ(opening_->slot, slots[1]);
}

TEST_F(SharesTest, TheObserverSeesWhatTheDriverPrints) {
  const std::string key = Create(3);
  ASSERT_TRUE(List(key, {kImporter, kImporter + 1}).ok());
  ASSERT_TRUE(Open(key, kImporter, 3).ok());
  EXPECT_EQ(observer_.text[key],
            "Ipc node detail:\n"
            "name=" +
                key +
                ";sdid=0;devid=3;vfid=0;pid=100;vptr=0x120000000000;len=2097152;"
                "page_size=2097152;is_huge=1;is_reserve=0;need_set_wlist=1;valid=1;key=1;ref=2;"
                "mem_repair=0\n"
                "White List:\n"
                "   [0]:sdid=4294967295;pid=200;set_time=200000000000;vptr=0x130000000000\n"
                "   [1]:sdid=4294967295;pid=201;set_time=200000000000;vptr=0x0\n");
  ASSERT_TRUE(shares_.Destroy(kExporter, key).ok());
  EXPECT_THAT(observer_.text[key], ::testing::HasSubstr(";valid=0;key=1;ref=1;"));
  ASSERT_TRUE(shares_.Close(kImporter, key).ok());
  EXPECT_EQ(observer_.text.count(key), 0U);
}

TEST(ValidityPage, OnlyTheDriverWritesIt) {
  const std::unique_ptr<ValidityPage> page = ValidityPage::Create();
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page->fd(), 0), MAP_FAILED);
  const std::string again = "/proc/self/fd/" + std::to_string(page->fd());
  const UniqueFd reopened(::open(again.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(reopened);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reopened.get(), 0),
            MAP_FAILED);
  EXPECT_EQ(::pwrite(reopened.get(), "1", 1, 0), -1);
  EXPECT_EQ(::ftruncate(reopened.get(), 0), -1);
}

}  // namespace
}  // namespace npu_ipc::sim
