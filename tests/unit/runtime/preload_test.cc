// The entries that the preload library interposes, as a program's calls reach them. The library is
// the one that is shipped; behind it is a runtime that notes what it is asked (fake_runtime.h), and
// its broker does as a test says.
#include <dlfcn.h>
#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>

#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "hal/acl/acl_ipc.h"
#include "runtime/preload/runtime_entries.h"
#include "runtime/protocol/key_name.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/runtime/fake_broker.h"
#include "tests/unit/runtime/fake_runtime.h"
#include "tests/unit/runtime/fake_vendor.h"

namespace npu_ipc::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kValidationOff = hal::acl::kFlagDisablePidValidation;
constexpr uint64_t kSomeFlags = 0x40;
constexpr int kSomeError = 507899;
constexpr size_t kBytes = 2 << 20;
char* const kMemory = reinterpret_cast<char*>(0x100000200000);

std::string KeyName(const std::string& key) {
  char name[wire::kKeyNameBytes];
  wire::MakeKeyName(key.data(), key.size(), name);
  return name;
}

RuntimeCall Exported(const std::string& key, uint64_t flags) {
  return {"rtsIpcMemGetExportKey", key, flags, {}};
}
RuntimeCall Whitelisted(const std::string& key, std::vector<int32_t> pids) {
  return {"rtsIpcMemSetImportPid", key, 0, std::move(pids)};
}
RuntimeCall Imported(const std::string& key, uint64_t flags) {
  return {"rtsIpcMemImportByKey", key, flags, {}};
}
RuntimeCall Closed(const std::string& key) { return {"rtsIpcMemClose", key, 0, {}}; }

class PreloadTest : public testing::Test {
 protected:
  // A copy of the library is an instance of its own, which knows nothing of the tests before. What
  // it calls is loaded behind it.
  void SetUp() override {
    FakeVendor::Get().Reset();
    FakeRuntime::Get().Reset();
    ::setenv(wire::kSocketPathVariable, broker_.path().c_str(), 1);
    library_ = LoadCopy(NPU_IPC_PRELOAD_LIBRARY);
    ASSERT_NE(library_, nullptr) << ::dlerror();
    ASSERT_NE(LoadCopy(NPU_IPC_NEXT_ENTRIES), nullptr) << ::dlerror();
    export_ = Entry<decltype(export_)>("rtsIpcMemGetExportKey");
    whitelist_ = Entry<decltype(whitelist_)>("rtsIpcMemSetImportPid");
    import_ = Entry<decltype(import_)>("rtsIpcMemImportByKey");
    close_ = Entry<decltype(close_)>("rtsIpcMemClose");
    bare_tgid_ = Entry<decltype(bare_tgid_)>("rtDeviceGetBareTgid");
  }
  void* LoadCopy(const std::filesystem::path& library) {
    const std::string copy = directory_.Path(library.filename());
    std::filesystem::copy_file(library, copy);
    return ::dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  template <class Function>
  Function Entry(const char* name) {
    const auto entry = reinterpret_cast<Function>(::dlsym(library_, name));
    EXPECT_NE(entry, nullptr) << name;
    return entry;
  }

  // A call that waits for the broker, on a thread with a context.
  static std::future<int> Later(std::function<int()> call) {
    return std::async(std::launch::async, [call = std::move(call)] {
      SetThreadContext(kContext);
      return call();
    });
  }
  std::future<int> ExportLater(uint64_t flags) {
    return Later([this, flags] { return export_(kMemory, kBytes, key_, sizeof(key_), flags); });
  }
  std::future<int> ImportLater(const std::string& key, uint64_t flags) {
    return Later([this, key, flags] { return import_(&pointer_, key.c_str(), flags); });
  }
  void Welcome() {
    connection_ = broker_.Accept();
    ASSERT_NE(connection_, nullptr);
    connection_->Welcome();
  }
  void TellPolicy(bool may_disable_pid_validation) {
    const auto asked = connection_->Receive<wire::AskPolicy>(wire::MessageType::kAskPolicy);
    wire::PolicyTold told = {};
    told.may_disable_pid_validation = may_disable_pid_validation ? 1 : 0;
    connection_->Send(told, wire::MessageType::kPolicyTold, asked.header.request_id);
  }
  wire::Publish ReceivePublish() {
    return connection_->Receive<wire::Publish>(wire::MessageType::kPublish);
  }
  void AnswerPublish(const wire::Publish& publish) {
    connection_->Send(wire::Published{{}, 5, 1}, wire::MessageType::kPublished,
                      publish.header.request_id);
  }
  // Answers as many pids as are asked for, a thousand higher.
  uint32_t TranslatePids() {
    const auto asked = connection_->Receive<wire::TranslatePids>(wire::MessageType::kTranslatePids);
    wire::PidsTranslated translated = {};
    translated.count = asked.count;
    for (uint32_t i = 0; i < asked.count; ++i) translated.pids[i] = asked.pids[i] + 1000;
    connection_->Send(translated, wire::MessageType::kPidsTranslated, asked.header.request_id);
    return asked.count;
  }

  // The library itself asks for the pid whenever it connects: that is left out.
  static std::vector<RuntimeCall> Calls() {
    std::vector<RuntimeCall> calls = FakeRuntime::Get().Calls();
    std::erase_if(calls, [](const auto& call) { return call.function == "rtDeviceGetBareTgid"; });
    return calls;
  }

  const TemporaryDirectory directory_;
  FakeBroker broker_;
  std::unique_ptr<BrokerConnection> connection_;
  void* library_ = nullptr;
  char key_[hal::acl::kExportKeyBytes] = "";
  void* pointer_ = nullptr;
  const std::string others_key_ = std::string(64, 'k');

  decltype(&rtsIpcMemGetExportKey) export_ = nullptr;
  decltype(&rtsIpcMemSetImportPid) whitelist_ = nullptr;
  decltype(&rtsIpcMemImportByKey) import_ = nullptr;
  decltype(&rtsIpcMemClose) close_ = nullptr;
  decltype(&rtDeviceGetBareTgid) bare_tgid_ = nullptr;
};

TEST_F(PreloadTest, WithoutABrokerEachCallIsTheNextOne) {
  broker_.Stop();
  for (const char* const function :
       {"rtsIpcMemGetExportKey", "rtsIpcMemSetImportPid", "rtsIpcMemImportByKey", "rtsIpcMemClose",
        "rtDeviceGetBareTgid"}) {
    FakeRuntime::Get().Fail(function, kSomeError);
  }
  int32_t pids[] = {7, 8};
  uint32_t pid = 0;
  const std::function<int()> calls[] = {
      [&] { return export_(kMemory, kBytes, key_, sizeof(key_), kValidationOff | kSomeFlags); },
      [&] { return whitelist_(others_key_.c_str(), pids, 2); },
      [&] { return import_(&pointer_, others_key_.c_str(), kSomeFlags); },
      [&] { return close_(others_key_.c_str()); },
      [&] { return bare_tgid_(&pid); },
  };
  for (const auto& call : calls) {
    errno = 0;
    EXPECT_EQ(call(), kSomeError);
    EXPECT_EQ(errno, FakeRuntime::kErrno);
  }
  EXPECT_EQ(pointer_, kImportBase);
  EXPECT_EQ(static_cast<int32_t>(pid), -1);
  EXPECT_THAT(Calls(), ElementsAre(Exported(key_, kValidationOff | kSomeFlags),
                                   Whitelisted(others_key_, {7, 8}),
                                   Imported(others_key_, kSomeFlags), Closed(others_key_)));
}

TEST_F(PreloadTest, APodThatSharesNothingHasTheNextOnes) {
  auto exported = ExportLater(kValidationOff);
  connection_ = broker_.Accept();
  const auto hello = connection_->Receive<wire::Hello>(wire::MessageType::kHello);
  connection_->Refuse(hello.header.request_id, wire::Status::kNoGroup, "no annotation");
  EXPECT_EQ(exported.get(), 0);
  EXPECT_EQ(import_(&pointer_, others_key_.c_str(), kSomeFlags), 0) << "and nobody is asked again";
  EXPECT_THAT(Calls(),
              ElementsAre(Exported(key_, kValidationOff), Imported(others_key_, kSomeFlags)));
}

TEST_F(PreloadTest, AnExportIsKnownToTheBrokerByItsKey) {
  auto exported = ExportLater(0);
  Welcome();
  const wire::Publish publish = ReceivePublish();
  AnswerPublish(publish);
  EXPECT_EQ(exported.get(), 0);
  EXPECT_EQ(publish.name, KeyName(key_));
  EXPECT_EQ(publish.handle_kind, wire::HandleKind::kIpcKey);
  EXPECT_STREQ(reinterpret_cast<const char*>(publish.handle), key_);
  EXPECT_EQ(publish.allocation_bytes, kBytes);
  EXPECT_EQ(publish.claimed_physical_device, kOwnPhysicalDevice);
  EXPECT_THAT(Calls(), ElementsAre(Exported(key_, 0)));
}

TEST_F(PreloadTest, AnExportForEverybodyBecomesOneForWhomItIsSharedWith) {
  auto exported = ExportLater(kValidationOff | kSomeFlags);
  Welcome();
  TellPolicy(/*may_disable_pid_validation=*/false);
  const wire::Publish publish = ReceivePublish();
  AnswerPublish(publish);
  EXPECT_EQ(exported.get(), 0);
  EXPECT_EQ(publish.handle_kind, wire::HandleKind::kIpcKey);
  EXPECT_THAT(Calls(), ElementsAre(Exported(key_, kSomeFlags)));
}

TEST_F(PreloadTest, WherePolicyAllowsItItStaysOneForEverybody) {
  auto exported = ExportLater(kValidationOff);
  Welcome();
  TellPolicy(/*may_disable_pid_validation=*/true);
  const wire::Publish publish = ReceivePublish();
  AnswerPublish(publish);
  EXPECT_EQ(exported.get(), 0);
  EXPECT_EQ(publish.handle_kind, wire::HandleKind::kOpenIpcKey);
  EXPECT_THAT(Calls(), ElementsAre(Exported(key_, kValidationOff)));
}

TEST_F(PreloadTest, AnExportThatIsNotToBeSharedIsMadeAnewAsItWasAskedFor) {
  auto exported = ExportLater(kValidationOff);
  Welcome();
  TellPolicy(/*may_disable_pid_validation=*/false);
  const wire::Publish publish = ReceivePublish();
  const std::string hardened = reinterpret_cast<const char*>(publish.handle);
  connection_->Refuse(publish.header.request_id, wire::Status::kRoleDenied, "an importer");
  EXPECT_EQ(exported.get(), 0);
  EXPECT_NE(key_, hardened);
  EXPECT_THAT(Calls(),
              ElementsAre(Exported(hardened, 0), Closed(hardened), Exported(key_, kValidationOff)));
}

TEST_F(PreloadTest, AnExportThatFailsIsToldToNobody) {
  FakeRuntime::Get().Fail("rtsIpcMemGetExportKey", kSomeError);
  auto exported = ExportLater(0);
  Welcome();
  EXPECT_EQ(exported.get(), kSomeError);
  EXPECT_FALSE(connection_->Readable());
}

TEST_F(PreloadTest, AnImportIsLetInFirst) {
  auto imported = ImportLater(others_key_, kSomeFlags);
  Welcome();
  const auto attach = connection_->Receive<wire::Attach>(wire::MessageType::kAttachPublished);
  EXPECT_EQ(attach.name, KeyName(others_key_));
  EXPECT_THAT(Calls(), IsEmpty()) << "it is not on the whitelist yet";
  wire::Grant grant = {};
  grant.grant_id = 9;
  grant.region_id = 77;
  grant.allocation_bytes = grant.view_bytes = kBytes;
  grant.handle_kind = wire::HandleKind::kIpcKey;
  grant.exporter_physical_device = kOwnPhysicalDevice;
  memcpy(grant.handle, others_key_.data(), others_key_.size());
  connection_->Send(grant, wire::MessageType::kGrant, attach.header.request_id);
  EXPECT_EQ(connection_->Receive<wire::Imported>(wire::MessageType::kImported).grant_id, 9U);
  EXPECT_EQ(imported.get(), 0);
  EXPECT_EQ(pointer_, kImportBase);
  EXPECT_THAT(Calls(), ElementsAre(Imported(others_key_, kSomeFlags)));

  EXPECT_EQ(close_(others_key_.c_str()), 0);
  EXPECT_EQ(connection_->Receive<wire::Detached>(wire::MessageType::kDetached).grant_id, 9U);
  EXPECT_EQ(Calls().back(), Closed(others_key_));
}

TEST_F(PreloadTest, AKeyThatTheBrokerDoesNotKnowIsForTheDriverToRefuse) {
  FakeRuntime::Get().Fail("rtsIpcMemImportByKey", kSomeError);
  auto imported = ImportLater(others_key_, kSomeFlags);
  Welcome();
  const auto attach = connection_->Receive<wire::Attach>(wire::MessageType::kAttachPublished);
  connection_->Refuse(attach.header.request_id, wire::Status::kNotFound, "no such key");
  EXPECT_EQ(imported.get(), kSomeError);
  EXPECT_THAT(Calls(), ElementsAre(Imported(others_key_, kSomeFlags)));
}

TEST_F(PreloadTest, PidsAreTheHostsAndAsManyAsTheDriverTakes) {
  std::vector<int32_t> pids(40);
  std::iota(pids.begin(), pids.end(), 1);
  auto told = Later(
      [&] { return whitelist_(others_key_.c_str(), pids.data(), static_cast<int>(pids.size())); });
  Welcome();
  EXPECT_EQ(TranslatePids(), wire::kMaxPids);
  EXPECT_EQ(TranslatePids(), 40 - wire::kMaxPids);
  EXPECT_EQ(told.get(), 0);
  for (int32_t& pid : pids) pid += 1000;
  const auto split = pids.begin() + wire::kMaxPids;
  EXPECT_THAT(Calls(), ElementsAre(Whitelisted(others_key_, {pids.begin(), split}),
                                   Whitelisted(others_key_, {split, pids.end()})));
}

TEST_F(PreloadTest, ThePidThatTheDriverDoesNotKnowIsTheHosts) {
  uint32_t pid = 0;
  auto asked = Later([&] { return bare_tgid_(&pid); });
  Welcome();
  EXPECT_EQ(asked.get(), 0);
  EXPECT_EQ(pid, 4242U);
}

TEST_F(PreloadTest, ThePidThatTheDriverKnowsIsItsOwn) {
  FakeRuntime::Get().SetBareTgid(31);
  broker_.Stop();
  uint32_t pid = 0;
  EXPECT_EQ(bare_tgid_(&pid), 0);
  EXPECT_EQ(pid, 31U);
}

}  // namespace
}  // namespace npu_ipc::test
