// What the driver shows of its keys to the host: /proc/svm_shmem (driver: svm_shmem_procfs.c).
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

std::string AuditPath(const Key& key) { return TheNode().audit_directory + "/" + key.text; }

std::string ReadAuditFile(const Key& key) {
  std::ifstream file(AuditPath(key));
  EXPECT_TRUE(file) << "there must be one";
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The value of `name=<value>;` from `begin` on.
std::string Field(const std::string& text, const std::string& name, size_t begin = 0) {
  const size_t found = text.find(name + "=", begin);
  if (found == std::string::npos) return "(no " + name + ")";
  const size_t value = found + name.size() + 1;
  return text.substr(value, text.find_first_of(";\n", value) - value);
}

// Where the entry of a listed process begins.
size_t EntryOf(const std::string& text, const Party& listed) {
  const size_t list = text.find("White List:");
  return text.find("pid=" + std::to_string(listed.host_pid()) + ";", list);
}

class Audit : public ::testing::Test {
 protected:
  Party exporter_ = Party::OnHost(First());
  Party importer_ = Party::OnHost(First());
  Block block_ = exporter_.Allocate();
  Key key_ = exporter_.Export(block_);
};

TEST_F(Audit, AKeyIsAFileThatRootAloneMayRead) {
  struct stat status = {};
  ASSERT_EQ(::stat(AuditPath(key_).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0400u);
}

TEST_F(Audit, AKeysFileNamesItsCreatorDeviceAndLength) {
  const std::string text = ReadAuditFile(key_);
  EXPECT_EQ(text.rfind("Ipc node detail:\n", 0), 0u);
  EXPECT_EQ(Field(text, "name"), key_.text);
  EXPECT_EQ(Field(text, "devid"), std::to_string(First()));
  EXPECT_EQ(Field(text, "vfid"), "0");
  EXPECT_EQ(Field(text, ";pid"), std::to_string(exporter_.host_pid()));
  EXPECT_EQ(Field(text, "len"), std::to_string(block_.bytes));
  EXPECT_EQ(Field(text, "need_set_wlist"), "1");
  EXPECT_EQ(Field(text, "valid"), "1");
}

TEST_F(Audit, AKeyWithoutWhitelistSaysSo) {
  const Key open =
      exporter_.Export(exporter_.Allocate(), ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION);
  EXPECT_EQ(Field(ReadAuditFile(open), "need_set_wlist"), "0");
}

TEST_F(Audit, AKeysFileListsWhoMayImportAndWhoHas) {
  exporter_.Admit(key_, importer_);
  std::string text = ReadAuditFile(key_);
  ASSERT_NE(EntryOf(text, importer_), std::string::npos);
  EXPECT_EQ(Field(text, "vptr", EntryOf(text, importer_)), "0x0") << "not opened yet";
  importer_.Import(key_);
  text = ReadAuditFile(key_);
  EXPECT_NE(Field(text, "vptr", EntryOf(text, importer_)), "0x0");
  importer_.Close(key_);
  text = ReadAuditFile(key_);
  EXPECT_EQ(Field(text, "vptr", EntryOf(text, importer_)), "0x0") << "closed, and still listed";
}

TEST_F(Audit, AKilledImporterHasNothingOpen) {
  exporter_.Admit(key_, importer_);
  importer_.Import(key_);
  importer_.Kill();
  // The driver learns of it a moment after its parent does.
  EXPECT_TRUE(WaitUntil([&] {
    const std::string text = ReadAuditFile(key_);
    return Field(text, "vptr", EntryOf(text, importer_)) == "0x0";
  }));
}

TEST_F(Audit, AClosedKeyHasNoFile) {
  exporter_.Close(key_);
  EXPECT_FALSE(std::filesystem::exists(AuditPath(key_)));
}

TEST_F(Audit, AnEndedCreatorsKeyHasNoFile) {
  exporter_.Kill();
  EXPECT_TRUE(WaitUntil([&] { return !std::filesystem::exists(AuditPath(key_)); }));
}

}  // namespace
}  // namespace npu_ipc::conformance
