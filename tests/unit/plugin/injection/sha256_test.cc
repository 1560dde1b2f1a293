#include "plugin/injection/sha256.h"

#include <gtest/gtest.h>

#include <string>

namespace npu_ipc::injection {
namespace {

std::string Digest(std::string_view text) {
  Sha256 hash;
  hash.Update(text);
  return hash.HexDigest();
}

// The examples of FIPS 180-4 and the vectors that NIST gives with them.
TEST(Sha256Test, AgreesWithTheStandard) {
  EXPECT_EQ(Digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Digest(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, DoesNotDependOnHowTheBytesArrive) {
  // Lengths around the block of 64 and the 56 that leave room for the length.
  for (const size_t size : {1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 128, 200}) {
    const std::string text(size, 'x');
    Sha256 in_pieces;
    for (const char c : text) in_pieces.Update(std::string_view(&c, 1));
    EXPECT_EQ(in_pieces.HexDigest(), Digest(text)) << size;
  }
}

}  // namespace
}  // namespace npu_ipc::injection
