// What a process claims of its exports, held against the driver's records.
#include <fstream>

#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using testing::Not;
using wire::MessageType;
using wire::Status;

class BrokerClaimsTest : public BrokerProcessTest {
 protected:
  void SetUp() override {
    BrokerProcessTest::SetUp();
    StartBroker({"--driver-records-directory", directory_.path()});
    exporter_ = AddClient(AddPod("trainer", "weights"));
    claim_ = Publish("rank-0");
    memcpy(claim_.handle, key_.data(), key_.size());
    claim_.allocation_bytes = claim_.view_bytes = 8192;
    claim_.claimed_physical_device = 1;
  }

  void Record(pid_t creator) {
    std::ofstream(directory_.Path(key_))
        << "Ipc node detail:\nname=" << key_ << ";devid=1;pid=" << creator
        << ";len=8192;page_size=4096;need_set_wlist=1;valid=1\nWhite List:\n";
  }

  const std::string key_ = std::string(64, 'b');
  std::shared_ptr<ClientProcess> exporter_;
  wire::Publish claim_;
};

TEST_F(BrokerClaimsTest, WhatTheDriverConfirmsIsPublished) {
  Record(exporter_->pid());
  Send(*exporter_, claim_);
  EXPECT_GE(Receive<wire::Published>(*exporter_, MessageType::kPublished).generation, 1U);
}

TEST_F(BrokerClaimsTest, AnotherProcessExportIsRefusedAndReported) {
  Record(exporter_->pid() + 1);
  Send(*exporter_, claim_);
  const wire::Refused refused = ReceiveRefused(*exporter_);
  EXPECT_EQ(refused.status, Status::kClaimContradicted);
  EXPECT_THAT(refused.reason, HasSubstr("made this export, not process"));
  EXPECT_TRUE(WaitForMetric("denials_total{reason=\"claim_contradicted\"} 1"));
  EXPECT_TRUE(WaitForLog("the driver contradicts: pod=team/trainer"));
  EXPECT_THAT(Log(), Not(HasSubstr("bbbb"))) << "a key in the log";
}

TEST_F(BrokerClaimsTest, AnExportThatNobodyMadeIsRefusedAndTheNextOneServed) {
  Send(*exporter_, claim_);
  EXPECT_THAT(ReceiveRefused(*exporter_).reason, HasSubstr("no such export"));
  Record(exporter_->pid());
  Send(*exporter_, claim_);
  EXPECT_GE(Receive<wire::Published>(*exporter_, MessageType::kPublished).generation, 1U);
}

}  // namespace
}  // namespace npu_ipc::broker
