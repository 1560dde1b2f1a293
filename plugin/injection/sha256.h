// SHA-256 (FIPS 180-4), for content addresses: 60 lines rather than a cryptography library in a
// privileged daemon.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <array>
#include <string>
#include <string_view>

namespace npu_ipc::injection {

// Not thread safe.
class Sha256 {
 public:
  void Update(std::string_view bytes);
  // The digest of all that was added, as 64 lower-case hexadecimal digits. Ends the object's use.
  std::string HexDigest();

 private:
  void Compress(const uint8_t* block);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> block_ = {};
  size_t block_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace npu_ipc::injection
