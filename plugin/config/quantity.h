// Amounts of bytes as Kubernetes writes them.
#pragma once

#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>

namespace npu_ipc::config {

// A cap that caps nothing.
inline constexpr uint64_t kUnlimitedBytes = UINT64_MAX;

// For messages.
inline constexpr std::string_view kQuantityForm =
    "a Kubernetes quantity of whole bytes, such as 16Gi, 1.5Gi, 500M or 1073741824";

// The bytes of a Kubernetes quantity (apimachinery: pkg/api/resource/quantity.go): a decimal number
// with the suffix Ki, Mi, Gi, Ti, Pi, Ei, k, M, G, T, P, E, an exponent (e3, E3), or none. nullopt
// for everything else: signs, spaces, fractions of a byte (with m, u and n), 2^63 and more.
std::optional<uint64_t> ParseQuantity(std::string_view text);

// The shortest form of `bytes`: "16Gi", "500M", "1073741825".
std::string FormatQuantity(uint64_t bytes);

}  // namespace npu_ipc::config
