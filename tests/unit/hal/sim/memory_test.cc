#include "hal/sim/driver/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace npu_ipc::sim {
namespace {

constexpr uint64_t kSmallPage = 4096;
constexpr uint64_t kHugePage = uint64_t{2} << 20;
constexpr uint64_t kTotal = uint64_t{64} << 20;

class MemoryTest : public ::testing::Test {
 protected:
  Memory memory_{2, kTotal};
  const Allocation* allocation_ = nullptr;
};

TEST_F(MemoryTest, LengthsAreRoundedUpToWholePagesAndCounted) {
  ASSERT_TRUE(memory_.Allocate(10, 1, 1, kHugePage, &allocation_).ok());
  EXPECT_EQ(allocation_->length, kHugePage);
  EXPECT_EQ(memory_.used(1), kHugePage);
  EXPECT_EQ(memory_.used(0), 0U);
  EXPECT_EQ(memory_.UsedBy(10, 1), kHugePage);
  EXPECT_EQ(memory_.UsedBy(10, 0), 0U);
  EXPECT_EQ(memory_.UsedBy(11, 1), 0U);
  struct stat file = {};
  ASSERT_EQ(::fstat(allocation_->memory.get(), &file), 0);
  EXPECT_EQ(static_cast<uint64_t>(file.st_size), kHugePage);
}

TEST_F(MemoryTest, ADeviceThatIsFullRefusesUntilSomethingIsFreed) {
  ASSERT_TRUE(memory_.Allocate(10, 0, kTotal - kSmallPage, kSmallPage, &allocation_).ok());
  const uint64_t handle = allocation_->handle;
  EXPECT_EQ(memory_.Allocate(10, 0, 1, kHugePage, &allocation_).error, ENOMEM);
  EXPECT_EQ(memory_.Allocate(10, 0, kSmallPage + 1, kSmallPage, &allocation_).error, ENOMEM);
  EXPECT_EQ(memory_.Allocate(10, 0, UINT64_MAX, kHugePage, &allocation_).error, ENOMEM);
  EXPECT_TRUE(memory_.Allocate(10, 1, kTotal, kSmallPage, &allocation_).ok());
  memory_.Free(handle);
  EXPECT_EQ(memory_.used(0), 0U);
  EXPECT_TRUE(memory_.Allocate(10, 0, kTotal, kHugePage, &allocation_).ok());
}

TEST_F(MemoryTest, OnlyTheVendorsPageSizesAndSomeLengthAreAccepted) {
  EXPECT_EQ(memory_.Allocate(10, 0, 1, 0, &allocation_).error, EINVAL);
  EXPECT_EQ(memory_.Allocate(10, 0, 1, 8192, &allocation_).error, EINVAL);
  EXPECT_EQ(memory_.Allocate(10, 0, 0, kSmallPage, &allocation_).error, EINVAL);
}

TEST_F(MemoryTest, AnAllocationIsFoundByItsOwnerAlone) {
  ASSERT_TRUE(memory_.Allocate(10, 0, 1, kSmallPage, &allocation_).ok());
  const uint64_t handle = allocation_->handle;
  EXPECT_EQ(memory_.Find(10, handle), allocation_);
  EXPECT_EQ(memory_.Find(11, handle), nullptr);
  EXPECT_EQ(memory_.Find(10, handle + 1), nullptr);
  EXPECT_THAT(memory_.HandlesOf(10), ::testing::ElementsAre(handle));
  memory_.Free(handle);
  EXPECT_EQ(memory_.Find(10, handle), nullptr);
  EXPECT_TRUE(memory_.HandlesOf(10).empty());
}

TEST_F(MemoryTest, WhoeverHasTheDescriptorCannotChangeItsSize) {
  ASSERT_TRUE(memory_.Allocate(10, 0, 1, kSmallPage, &allocation_).ok());
  EXPECT_EQ(::ftruncate(allocation_->memory.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(allocation_->memory.get(), 1 << 20), -1);
}

TEST_F(MemoryTest, MemoryOutlivesItsAllocationForWhoeverHasItMapped) {
  ASSERT_TRUE(memory_.Allocate(10, 0, 1, kSmallPage, &allocation_).ok());
  void* const mapped =
      ::mmap(nullptr, kSmallPage, PROT_READ | PROT_WRITE, MAP_SHARED, allocation_->memory.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  memory_.Free(allocation_->handle);
  static_cast<char*>(mapped)[0] = 'x';
  EXPECT_EQ(static_cast<char*>(mapped)[0], 'x');
  ::munmap(mapped, kSmallPage);
}

}  // namespace
}  // namespace npu_ipc::sim
