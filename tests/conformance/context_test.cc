// Which calls need a current context in the calling thread.
#include <gtest/gtest.h>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

// What a thread answers that first makes a context current, if it may.
struct WithContext {
  aclError set_context;
  aclError call;
};

Answer<aclrtContext> CurrentContext(Party& party) {
  return party.Call([] {
    Answer<aclrtContext> context = {};
    context.code = aclrtGetCurrentContext(&context.value);
    return context;
  });
}

// Lists `pid` on a new thread of `party` that has made `context` its own.
WithContext SetImportPidWithContext(Party& party, aclrtContext context, const Key& key,
                                    int32_t pid) {
  return party.OnNewThread().Call(
      [](aclrtContext own, Key name, int32_t listed) {
        WithContext result = {};
        result.set_context = aclrtSetCurrentContext(own);
        result.call = aclrtIpcMemSetImportPid(name.text, &listed, 1);
        return result;
      },
      context, key, pid);
}

class ContextNeeded : public ::testing::Test {
 protected:
  ContextNeeded() : block_(exporter_.Allocate()), key_(exporter_.Export(block_)) {}

  Party exporter_ = Party::OnHost(First());
  Party importer_ = Party::OnHost(First());
  Block block_;
  Key key_;
};

TEST_F(ContextNeeded, ToSetImportPids) {
  Party thread = exporter_.OnNewThread();
  EXPECT_EQ(thread.TrySetImportPids(key_, {importer_.host_pid()}), ACL_ERROR_RT_CONTEXT_NULL);
  EXPECT_EQ(importer_.TryImport(key_).code, ACL_ERROR_RT_DRV_INTERNAL_ERROR) << "not listed";
}

TEST_F(ContextNeeded, ToImport) {
  exporter_.Admit(key_, importer_);
  EXPECT_EQ(importer_.OnNewThread().TryImport(key_).code, ACL_ERROR_RT_CONTEXT_NULL);
  EXPECT_EQ(importer_.TryImport(key_).code, ACL_SUCCESS);
}

TEST_F(ContextNeeded, ToClose) {
  exporter_.Write(block_.address, block_.bytes, 1);
  exporter_.Admit(key_, importer_);
  void* const imported = importer_.Import(key_);
  EXPECT_EQ(importer_.OnNewThread().TryClose(key_), ACL_ERROR_RT_CONTEXT_NULL);
  EXPECT_EQ(importer_.Read(imported, block_.bytes), 1u) << "still open";
  importer_.Close(key_);
  EXPECT_EQ(exporter_.OnNewThread().TryClose(key_), ACL_ERROR_RT_CONTEXT_NULL);
}

TEST_F(ContextNeeded, ByAProcessThatHasSetNoDevice) {
  Party party(Host());
  exporter_.Admit(key_, party);
  EXPECT_EQ(party.TryImport(key_).code, ACL_ERROR_RT_CONTEXT_NULL);
  EXPECT_EQ(party.TryClose(key_), ACL_ERROR_RT_CONTEXT_NULL);
}

TEST_F(ContextNeeded, NotForPeerAccessByPhysicalId) {
  EXPECT_EQ(exporter_.OnNewThread().TryEnableP2P(Second()), ACL_SUCCESS);
}

TEST_F(ContextNeeded, AndAnyThreadMayTakeThatOfAnother) {
  const Answer<aclrtContext> context = CurrentContext(exporter_);
  ASSERT_EQ(context.code, ACL_SUCCESS);
  ASSERT_NE(context.value, nullptr) << "aclrtSetDevice makes the device's own one current";
  const WithContext answer =
      SetImportPidWithContext(exporter_, context.value, key_, importer_.host_pid());
  EXPECT_EQ(answer.set_context, ACL_SUCCESS);
  EXPECT_EQ(answer.call, ACL_SUCCESS);
  EXPECT_EQ(importer_.TryImport(key_).code, ACL_SUCCESS);
}

TEST_F(ContextNeeded, AndADestroyedOneIsRefused) {
  const int32_t device = First();
  const auto destroyed = exporter_.Call(
      [](int32_t id) {
        Answer<aclrtContext> context = {};
        context.code = aclrtCreateContext(&context.value, id);
        if (context.code == ACL_SUCCESS) context.code = aclrtDestroyContext(context.value);
        return context;
      },
      device);
  ASSERT_EQ(destroyed.code, ACL_SUCCESS);
  const WithContext answer =
      SetImportPidWithContext(exporter_, destroyed.value, key_, importer_.host_pid());
  EXPECT_NE(answer.set_context, ACL_SUCCESS);
  EXPECT_EQ(answer.call, ACL_ERROR_RT_CONTEXT_NULL) << "the thread is left without one";
}

}  // namespace
}  // namespace npu_ipc::conformance
