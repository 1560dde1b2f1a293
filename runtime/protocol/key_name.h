// What a region is called that a program has exported without a name, knowing its key alone.
//
// Whoever has the key can ask for the region, and nobody learns a key from a name: names are shown
// in logs, lists and diagnostics, keys never are. Freestanding, as wire.h is.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace npu_ipc::wire {

inline constexpr char kKeyNamePrefix[] = "key-";
inline constexpr size_t kKeyNameBytes = sizeof(kKeyNamePrefix) + 32;  // with the NUL

// The name for the first `length` bytes of `key`: the prefix and their FNV-1a hash of 128 bits.
constexpr void MakeKeyName(const char* key, size_t length, char (&name)[kKeyNameBytes]) {
  __extension__ using Hash = unsigned __int128;
  constexpr Hash kPrime = (Hash{1} << 88) + 0x13b;
  Hash hash = (Hash{0x6c62272e07bb0142} << 64) + 0x62b821756295c58d;
  for (size_t i = 0; i < length; ++i) {
    hash = (hash ^ static_cast<unsigned char>(key[i])) * kPrime;
  }
  size_t at = 0;
  for (; at + 1 < sizeof(kKeyNamePrefix); ++at) name[at] = kKeyNamePrefix[at];
  for (int shift = 124; shift >= 0; shift -= 4) {
    name[at++] = "0123456789abcdef"[static_cast<unsigned>(hash >> shift) & 0xfU];
  }
  name[at] = '\0';
}

}  // namespace npu_ipc::wire
