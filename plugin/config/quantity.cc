#include "plugin/config/quantity.h"

#include <algorithm>
#include <charconv>

namespace npu_ipc::config {
namespace {

constexpr uint64_t kMaxBytes = INT64_MAX;  // what Kubernetes itself can hold
constexpr int kMaxExponent = 18;           // 10^19 is more

struct Suffix {
  std::string_view text;
  uint64_t factor;
};

constexpr Suffix kSuffixes[] = {
    {"", 1},
    {"k", 1000},
    {"Ki", uint64_t{1} << 10},
    {"M", 1000'000},
    {"Mi", uint64_t{1} << 20},
    {"G", 1000'000'000},
    {"Gi", uint64_t{1} << 30},
    {"T", 1000'000'000'000},
    {"Ti", uint64_t{1} << 40},
    {"P", 1000'000'000'000'000},
    {"Pi", uint64_t{1} << 50},
    {"E", 1000'000'000'000'000'000},
    {"Ei", uint64_t{1} << 60},
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::optional<uint64_t> PowerOfTen(std::string_view digits) {
  int exponent = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
  if (error != std::errc() || end != digits.data() + digits.size() || !IsDigit(digits.front()) ||
      exponent > kMaxExponent) {
    return std::nullopt;
  }
  uint64_t factor = 1;
  for (int i = 0; i < exponent; ++i) factor *= 10;
  return factor;
}

std::optional<uint64_t> Factor(std::string_view suffix) {
  const auto* const known = std::find_if(std::begin(kSuffixes), std::end(kSuffixes),
                                         [&](const Suffix& s) { return s.text == suffix; });
  if (known != std::end(kSuffixes)) return known->factor;
  if (suffix.size() > 1 && (suffix.front() == 'e' || suffix.front() == 'E')) {
    return PowerOfTen(suffix.substr(1));
  }
  return std::nullopt;
}

// What 0.`digits` of `factor` is, where that is whole.
std::optional<uint64_t> FractionOf(uint64_t factor, std::string_view digits) {
  // Zeros at the end say nothing; of the others, no factor has tens or twos enough for more than
  // 60.
  while (digits.ends_with('0')) digits.remove_suffix(1);
  if (digits.size() > 60) return std::nullopt;
  // From the last digit on, each sum must be tens. It stays below ten times the factor.
  uint64_t sum = 0;
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    sum += static_cast<uint64_t>(*digit - '0') * factor;
    if (sum % 10 != 0) return std::nullopt;
    sum /= 10;
  }
  return sum;
}

}  // namespace

std::optional<uint64_t> ParseQuantity(std::string_view text) {
  const auto after_digits = [](std::string_view from) {
    return static_cast<size_t>(std::find_if_not(from.begin(), from.end(), IsDigit) - from.begin());
  };
  const std::string_view whole = text.substr(0, after_digits(text));
  text.remove_prefix(whole.size());
  std::string_view fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = text.substr(0, after_digits(text));
    text.remove_prefix(fraction.size());
  }
  if (whole.empty() && fraction.empty()) return std::nullopt;
  const std::optional<uint64_t> factor = Factor(text);
  if (!factor) return std::nullopt;
  uint64_t number = 0;
  if (!whole.empty() &&
      std::from_chars(whole.data(), whole.data() + whole.size(), number).ec != std::errc()) {
    return std::nullopt;
  }
  const std::optional<uint64_t> rest = FractionOf(*factor, fraction);
  if (!rest) return std::nullopt;
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(number, *factor, &bytes) ||
      __builtin_add_overflow(bytes, *rest, &bytes) || bytes > kMaxBytes) {
    return std::nullopt;
  }
  return bytes;
}

std::string FormatQuantity(uint64_t bytes) {
  std::string shortest = std::to_string(bytes);
  if (bytes == 0) return shortest;
  for (const Suffix& suffix : kSuffixes) {
    if (bytes % suffix.factor != 0) continue;
    const std::string text = std::to_string(bytes / suffix.factor) + std::string(suffix.text);
    if (text.size() < shortest.size()) shortest = text;
  }
  return shortest;
}

}  // namespace npu_ipc::config
