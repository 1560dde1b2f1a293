#include "hal/base/read.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "hal/base/fd.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc {
namespace {

class ReadUpToTest : public testing::Test {
 protected:
  UniqueFd Open(const std::string& text) {
    std::ofstream(directory_.Path("file")) << text;
    return UniqueFd(::open(directory_.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  }

  const TemporaryDirectory directory_;
};

TEST_F(ReadUpToTest, ReadsTheWholeWhateverItsSize) {
  for (const size_t size : {0, 1, 4095, 4096, 4097, 100'000}) {
    const std::string text(size, 'x');
    const Result<std::string> read = ReadUpTo(Open(text).get(), size + 1, "read it");
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, text);
  }
}

TEST_F(ReadUpToTest, ReadsNoMoreThanTheLimitAndGoesOnThere) {
  const UniqueFd file = Open("abcdef");
  EXPECT_EQ(*ReadUpTo(file.get(), 4, "read it"), "abcd");
  EXPECT_EQ(*ReadUpTo(file.get(), 0, "read it"), "");
  EXPECT_EQ(*ReadUpTo(file.get(), 4, "read it"), "ef");
}

TEST_F(ReadUpToTest, ReadsWhatComesInPieces) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(::write(in.get(), "piece", 5), 5);
  in.Reset();
  EXPECT_EQ(*ReadUpTo(out.get(), 100, "read it"), "piecepiecepiece");
}

TEST_F(ReadUpToTest, NamesWhatFailed) {
  const Result<std::string> read = ReadUpTo(-1, 10, "read the register");
  ASSERT_FALSE(read.ok());
  EXPECT_THAT(read.status().message(), testing::HasSubstr("read the register"));
}

}  // namespace
}  // namespace npu_ipc
