#include "plugin/broker/messages.h"

#include <functional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using wire::MessageType;
using wire::Status;

wire::Publish GoodPublish() {
  auto message = NewMessage<wire::Publish>(MessageType::kPublish, 7);
  PutText(message.group, "weights");
  PutText(message.name, "rank-0 \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  message.handle_kind = wire::HandleKind::kIpcKey;
  memset(message.handle, 'a', 64);
  message.allocation_bytes = 4096;
  message.view_offset = 1024;
  message.view_bytes = 3072;
  return message;
}

template <class M>
std::variant<ClientMessage, BadMessage> DecodeWhole(const M& message) {
  return Decode(&message, sizeof(message), false);
}

template <class M>
BadMessage Bad(const M& message) {
  const auto decoded = DecodeWhole(message);
  if (const auto* bad = std::get_if<BadMessage>(&decoded)) return *bad;
  ADD_FAILURE() << "was taken as good";
  return {};
}

TEST(Decode, PassesEveryMessageOfAClient) {
  EXPECT_TRUE(std::holds_alternative<ClientMessage>(DecodeWhole(GoodPublish())));
  auto hello = NewMessage<wire::Hello>(MessageType::kHello, 1);
  PutText(hello.library_version, "0.1.0");
  EXPECT_TRUE(std::holds_alternative<ClientMessage>(DecodeWhole(hello)));
  auto attach = NewMessage<wire::Attach>(MessageType::kAttach, 2);
  PutText(attach.name, "rank-0");
  const auto decoded = DecodeWhole(attach);
  const auto& message = std::get<wire::Attach>(std::get<ClientMessage>(decoded));
  EXPECT_EQ(Text(message.name), "rank-0");
  EXPECT_EQ(message.header.request_id, 2U);
  for (const auto& good : {DecodeWhole(NewMessage<wire::Withdraw>(MessageType::kWithdraw, 3)),
                           DecodeWhole(NewMessage<wire::Imported>(MessageType::kImported, 0)),
                           DecodeWhole(NewMessage<wire::Detached>(MessageType::kDetached, 0)),
                           DecodeWhole(NewMessage<wire::Admitted>(MessageType::kAdmitted, 4))}) {
    EXPECT_TRUE(std::holds_alternative<ClientMessage>(good));
  }
}

template <class M>
bool IsDecoded(MessageType type) {
  const auto decoded = DecodeWhole(NewMessage<M>(type, 9));
  const auto* message = std::get_if<ClientMessage>(&decoded);
  return message != nullptr && std::holds_alternative<M>(*message);
}

TEST(Decode, KnowsTheMessagesOf1_1) {
  EXPECT_TRUE(IsDecoded<wire::List>(MessageType::kList));
  EXPECT_TRUE(IsDecoded<wire::Subscribe>(MessageType::kSubscribe));
  EXPECT_TRUE(IsDecoded<wire::Unsubscribe>(MessageType::kUnsubscribe));
  EXPECT_TRUE(IsDecoded<wire::PeerHeld>(MessageType::kPeerHeld));
  EXPECT_TRUE(IsDecoded<wire::ReclaimDone>(MessageType::kReclaimDone));
  EXPECT_TRUE(IsDecoded<wire::Closed>(MessageType::kClosed));
}

wire::ReclaimRegion GoodReclaimRegion() {
  auto reclaim = NewMessage<wire::ReclaimRegion>(MessageType::kReclaimRegion, 7);
  const wire::Publish publish = GoodPublish();
  memcpy(reclaim.name, publish.name, sizeof(reclaim.name));
  memcpy(reclaim.handle, publish.handle, sizeof(reclaim.handle));
  reclaim.handle_kind = publish.handle_kind;
  reclaim.allocation_bytes = publish.allocation_bytes;
  reclaim.view_bytes = publish.view_bytes;
  reclaim.generation = 3;
  return reclaim;
}

TEST(Decode, ChecksWhatIsReclaimed) {
  auto region = GoodReclaimRegion();
  EXPECT_TRUE(std::holds_alternative<ClientMessage>(DecodeWhole(region)));
  region.generation = 0;
  EXPECT_THAT(Bad(region).refusal.reason, HasSubstr("no generation"));
  region = GoodReclaimRegion();
  region.handle[0] = 0;
  EXPECT_THAT(Bad(region).refusal.reason, HasSubstr("export key's form"));

  auto mapping = NewMessage<wire::ReclaimMapping>(MessageType::kReclaimMapping, 8);
  EXPECT_THAT(Bad(mapping).refusal.reason, HasSubstr("name is empty"));
  PutText(mapping.name, "rank-0");
  EXPECT_THAT(Bad(mapping).refusal.reason, HasSubstr("no generation"));
  mapping.generation = 1;
  EXPECT_THAT(Bad(mapping).refusal.reason, HasSubstr("no exporter pid"));
  mapping.exporter_host_pid = 4711;
  EXPECT_TRUE(std::holds_alternative<ClientMessage>(DecodeWhole(mapping)));
}

TEST(Decode, ChecksTheKeyThatARotationGave) {
  auto rotated = NewMessage<wire::Rotated>(MessageType::kRotated, 9);
  EXPECT_THAT(Bad(rotated).refusal.reason, HasSubstr("export key's form"));
  rotated.status = Status::kExporterFailed;
  EXPECT_TRUE(std::holds_alternative<ClientMessage>(DecodeWhole(rotated)));
}

TEST(Decode, RefusesOtherVersionsAndSaysItsOwn) {
  auto newer = GoodPublish();
  newer.header.version_minor = wire::kVersionMinor + 1;
  auto other = GoodPublish();
  other.header.version_major = wire::kVersionMajor + 1;
  for (const BadMessage& bad : {Bad(newer), Bad(other)}) {
    EXPECT_EQ(bad.refusal.status, Status::kVersionMismatch);
    EXPECT_EQ(bad.request_id, 7U);
    EXPECT_THAT(bad.refusal.reason, HasSubstr("this broker speaks 1.2"));
  }
  // Of an unknown version nothing but its place is known: four bytes are enough.
  const uint16_t version_alone[2] = {99, 0};
  EXPECT_EQ(Bad(version_alone).refusal.status, Status::kVersionMismatch);
}

TEST(Decode, RefusesEveryTruncation) {
  const wire::Publish message = GoodPublish();
  for (size_t bytes = 1; bytes < sizeof(message); ++bytes) {
    const auto decoded = Decode(&message, bytes, false);
    ASSERT_TRUE(std::holds_alternative<BadMessage>(decoded)) << bytes;
    EXPECT_EQ(std::get<BadMessage>(decoded).refusal.status, Status::kMalformed) << bytes;
  }
}

TEST(Decode, RefusesWhatIsTooLarge) {
  std::vector<char> packet(wire::kMaxMessageBytes);
  wire::Publish message = GoodPublish();
  message.header.bytes = 5000;
  memcpy(packet.data(), &message, sizeof(message));
  const auto decoded = Decode(packet.data(), 5000, true);
  EXPECT_THAT(std::get<BadMessage>(decoded).refusal.reason, HasSubstr("5000 bytes are more than"));
  EXPECT_EQ(std::get<BadMessage>(decoded).request_id, 7U);
}

struct Mutation {
  const char* name;
  std::function<void(wire::Publish&)> apply;
  const char* named;
};

TEST(Decode, NamesWhatIsWrong) {
  const Mutation mutations[] = {
      {"header says less", [](auto& m) { m.header.bytes = 24; }, "its header says 24 bytes"},
      {"unknown type", [](auto& m) { m.header.type = static_cast<MessageType>(999); },
       "unknown type 999"},
      {"a broker's own type", [](auto& m) { m.header.type = MessageType::kGrant; },
       "unknown type 66"},
      {"another type's size", [](auto& m) { m.header.type = MessageType::kHello; },
       "type 1 has 64 bytes"},
      {"group without NUL", [](auto& m) { memset(m.group, 'x', sizeof(m.group)); },
       "group has no NUL"},
      {"name without NUL", [](auto& m) { memset(m.name, 'x', sizeof(m.name)); }, "name has no NUL"},
      {"empty name", [](auto& m) { m.name[0] = '\0'; }, "name is empty"},
      {"newline", [](auto& m) { PutText(m.name, "a\nb"); }, "name has a control character"},
      {"lone continuation byte", [](auto& m) { PutText(m.name, "a\x80"); }, "name is not UTF-8"},
      {"overlong", [](auto& m) { PutText(m.name, "\xc0\xaf"); }, "name is not UTF-8"},
      {"overlong three bytes", [](auto& m) { PutText(m.name, "\xe0\x80\xaf"); }, "not UTF-8"},
      {"surrogate", [](auto& m) { PutText(m.name, "\xed\xa0\x80"); }, "name is not UTF-8"},
      {"above U+10FFFF", [](auto& m) { PutText(m.name, "\xf4\x90\x80\x80"); }, "not UTF-8"},
      {"cut sequence", [](auto& m) { memcpy(m.name, "a\xe2\x82", 4); }, "name is not UTF-8"},
      {"unknown handle kind", [](auto& m) { m.handle_kind = static_cast<wire::HandleKind>(7); },
       "unknown handle kind 7"},
      {"no handle kind", [](auto& m) { m.handle_kind = static_cast<wire::HandleKind>(0); },
       "unknown handle kind 0"},
      {"no key", [](auto& m) { m.handle[0] = 0; }, "not of an export key's form"},
      {"key too long", [](auto& m) { m.handle[64] = 'a'; }, "not of an export key's form"},
      {"key not printable", [](auto& m) { m.handle[3] = 7; }, "not of an export key's form"},
      {"nothing allocated", [](auto& m) { m.allocation_bytes = 0; }, "not within the allocation"},
      {"empty view", [](auto& m) { m.view_bytes = 0; }, "is empty"},
      {"view beyond", [](auto& m) { m.view_bytes = 3073; }, "not within the allocation"},
      {"view overflows", [](auto& m) { m.view_bytes = UINT64_MAX; }, "not within the allocation"},
      {"offset beyond", [](auto& m) { m.view_offset = UINT64_MAX; }, "not within the allocation"},
  };
  for (const Mutation& mutation : mutations) {
    wire::Publish message = GoodPublish();
    mutation.apply(message);
    const BadMessage bad = Bad(message);
    EXPECT_EQ(bad.refusal.status, Status::kMalformed) << mutation.name;
    EXPECT_EQ(bad.request_id, 7U) << mutation.name;
    EXPECT_THAT(bad.refusal.reason, HasSubstr(mutation.named)) << mutation.name;
    EXPECT_THAT(bad.refusal.reason, testing::Not(HasSubstr("aaaa"))) << "never a key";
  }
  auto admitted = NewMessage<wire::Admitted>(MessageType::kAdmitted, 1);
  admitted.status = static_cast<Status>(26);
  EXPECT_THAT(Bad(admitted).refusal.reason, HasSubstr("unknown status"));
  auto imported = NewMessage<wire::Imported>(MessageType::kImported, 1);
  imported.status = static_cast<Status>(-1);
  EXPECT_THAT(Bad(imported).refusal.reason, HasSubstr("unknown status"));
}

TEST(PutText, CutsBetweenCharactersAndPads) {
  char field[6];
  memset(field, 'x', sizeof(field));
  PutText(field, "ab\xe2\x82\xac\xe2\x82\xac");
  EXPECT_STREQ(field, "ab\xe2\x82\xac");
  PutText(field, "abc\xe2\x82\xac");
  EXPECT_STREQ(field, "abc");
  EXPECT_EQ(field[4], '\0');
  EXPECT_EQ(field[5], '\0');
  PutText(field, "");
  EXPECT_STREQ(field, "");
}

TEST(StatusName, HasAWordForEach) {
  EXPECT_EQ(StatusName(Status::kOk), "ok");
  EXPECT_EQ(StatusName(Status::kNotInPod), "not_in_pod");
  EXPECT_EQ(StatusName(Status::kStillHeld), "still_held");
  EXPECT_EQ(StatusName(Status::kInternal), "internal");
  EXPECT_EQ(StatusName(static_cast<Status>(-5)), "internal");
}

TEST(NewRefused, TellsWhoSpeaks1_0WhatItKnows) {
  using wire::Status;
  for (int32_t value = 1; value <= static_cast<int32_t>(wire::kLastStatus); ++value) {
    const auto status = static_cast<Status>(value);
    EXPECT_EQ(NewRefused(1, {status, "why"}, 1).status, status);
    EXPECT_LE(NewRefused(1, {status, "why"}, 0).status, Status::kInternal);
  }
  EXPECT_EQ(NewRefused(1, {Status::kPolicyDenied, ""}, 0).status, Status::kRoleDenied);
  EXPECT_EQ(NewRefused(1, {Status::kNamespaceDenied, ""}, 0).status, Status::kNotInGroup);
  EXPECT_EQ(NewRefused(1, {Status::kQuotaExceeded, ""}, 0).status, Status::kLimit);
}

}  // namespace
}  // namespace npu_ipc::broker
