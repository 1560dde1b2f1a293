#include "hal/dcmi/dcmi_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hal/dcmi/chip_family.h"
#include "hal/dcmi/dcmi_interface_api.h"

namespace npu_ipc::hal {
namespace {

TEST(DcmiStatusTest, EveryCodeKeepsItsNumber) {
  for (int code = -8255; code < 0; ++code) {
    const Status status = DcmiStatus(code, "dcmi_call", "card 1 device 0");
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.message(), ::testing::HasSubstr(std::to_string(code)));
    EXPECT_THAT(status.message(), ::testing::HasSubstr("dcmi_call of card 1 device 0"));
  }
  EXPECT_TRUE(DcmiStatus(DCMI_OK, "dcmi_call", "").ok());
}

TEST(DcmiStatusTest, WhatPassesByItselfIsUnavailable) {
  for (int code : {DCMI_ERR_CODE_TIME_OUT, DCMI_ERR_CODE_NOT_REDAY, DCMI_ERR_CODE_RESET_FAIL,
                   DCMI_ERR_CODE_IS_UPGRADING}) {
    EXPECT_EQ(DcmiStatus(code, "c", "").code(), StatusCode::kUnavailable) << code;
  }
  for (int code :
       {DCMI_ERR_CODE_INVALID_PARAMETER, DCMI_ERR_CODE_INNER_ERR, DCMI_ERR_CODE_INVALID_DEVICE_ID,
        DCMI_ERR_CODE_RESOURCE_OCCUPIED, DCMI_ERR_CODE_NOT_SUPPORT, -1, 1}) {
    EXPECT_NE(DcmiStatus(code, "c", "").code(), StatusCode::kUnavailable) << code;
  }
}

TEST(ChipFamilyTest, ByName) {
  const auto family = [](const char* name) { return RecognizeFamily({name, "", {}, {}}); };
  for (const char* name : {"910B1", "910B2C", "910B3", "910B4-1", "Ascend910B3", "A2G1"}) {
    EXPECT_EQ(family(name), ChipFamily::kAscend910B) << name;
  }
  for (const char* name : {"Ascend910_9391", "910_9382", "Ascend910_9361"}) {
    EXPECT_EQ(family(name), ChipFamily::kAscend910C) << name;
  }
  for (const char* name : {"", "910", "Ascend910", "910B", "910A", "310P3", "Ascend950", "910Bx"}) {
    EXPECT_FALSE(family(name).has_value()) << name;
  }
}

TEST(ChipFamilyTest, ByBoardOnlyWhereTheNameDoesNotTell) {
  EXPECT_EQ(RecognizeFamily({"Ascend910", "", 0xd3, {}}), ChipFamily::kAscend910C);
  EXPECT_EQ(RecognizeFamily({"910", "", {}, 0x14}), ChipFamily::kAscend910C);
  EXPECT_FALSE(RecognizeFamily({"Ascend910", "", 0x01, 0x02}).has_value());
  EXPECT_EQ(RecognizeFamily({"910B3", "", 0xb0, 0x18}), ChipFamily::kAscend910B);
  EXPECT_FALSE(RecognizeFamily({"310P3", "", 0xb0, 0x18}).has_value());
}

}  // namespace
}  // namespace npu_ipc::hal
