#include "plugin/config/quantity.h"

#include <gtest/gtest.h>

#include <string>

namespace npu_ipc::config {
namespace {

struct Accepted {
  const char* text;
  uint64_t bytes;
};

TEST(ParseQuantity, ReadsWhatKubernetesWrites) {
  const Accepted cases[] = {
      {"0", 0},
      {"1", 1},
      {"007", 7},
      {"1073741824", uint64_t{1} << 30},
      {"16Gi", uint64_t{16} << 30},
      {"1.5Gi", 1'610'612'736},
      {"0.5Ki", 512},
      {".5Ki", 512},
      {"1.Mi", 1 << 20},
      {"1.50k", 1500},
      {"500M", 500'000'000},
      {"2k", 2000},
      {"3T", 3'000'000'000'000},
      {"4P", 4'000'000'000'000'000},
      {"9E", 9'000'000'000'000'000'000},
      {"7Ei", uint64_t{7} << 60},
      {"1Ti", uint64_t{1} << 40},
      {"1Pi", uint64_t{1} << 50},
      {"12e6", 12'000'000},
      {"1.2E3", 1200},
      {"1e0", 1},
      {"0.000000000931322574615478515625Gi", 1},  // 2^-30
      {"1.00000000000000000000000000000000000000000000000000000000000000000000000000000Gi",
       uint64_t{1} << 30},
      {"9223372036854775807", INT64_MAX},
  };
  for (const Accepted& test : cases) {
    const auto bytes = ParseQuantity(test.text);
    ASSERT_TRUE(bytes.has_value()) << test.text;
    EXPECT_EQ(*bytes, test.bytes) << test.text;
  }
}

TEST(ParseQuantity, RefusesEverythingElse) {
  for (const char* text : {"",
                           " ",
                           ".",
                           "Gi",
                           ".Gi",
                           "-1",
                           "+1",
                           "-0",
                           " 1",
                           "1 ",
                           "1 Gi",
                           "16GiB",
                           "16gi",
                           "16GI",
                           "16g",
                           "16K",
                           "16ki",
                           "1m",
                           "1000m",
                           "1u",
                           "1n",
                           "1.5",
                           "0.1Ki",
                           "1.0000000001Ki",
                           "1e",
                           "1e-3",
                           "1e+3",
                           "1e19",
                           "1e99999999999",
                           "1e3Gi",
                           "1.5.5Gi",
                           "1,5Gi",
                           "0x10",
                           "nan",
                           "inf",
                           "1Gi1",
                           "8Ei",
                           "9223372036854775808",
                           "10E",
                           "99999999999999999999",
                           "16777216Ti",
                           "1e3.5",
                           "unlimited",
                           "\xef\xbc\x91"}) {
    EXPECT_FALSE(ParseQuantity(text).has_value()) << text;
  }
  EXPECT_FALSE(ParseQuantity(std::string("1\0", 2)).has_value());
  EXPECT_FALSE(ParseQuantity(std::string(100'000, '9')).has_value());
  EXPECT_FALSE(ParseQuantity("0." + std::string(100'000, '1') + "Gi").has_value());
}

TEST(FormatQuantity, IsTheShortestFormThatReadsTheSame) {
  const Accepted cases[] = {{"0", 0},
                            {"1", 1},
                            {"999", 999},
                            {"1k", 1000},
                            {"1Ki", 1024},
                            {"16Gi", uint64_t{16} << 30},
                            {"1536Mi", 1'610'612'736},
                            {"500M", 500'000'000},
                            {"1073741825", (uint64_t{1} << 30) + 1},
                            {"7Ei", uint64_t{7} << 60}};
  for (const Accepted& test : cases) {
    EXPECT_EQ(FormatQuantity(test.bytes), test.text);
    EXPECT_EQ(ParseQuantity(test.text), test.bytes);
  }
  EXPECT_EQ(FormatQuantity(UINT64_MAX), "18446744073709551615");
}

}  // namespace
}  // namespace npu_ipc::config
