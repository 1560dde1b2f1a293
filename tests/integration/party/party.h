// What npu-ipc-party can do, one command at a time.
#pragma once

#include <stddef.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "acl/acl.h"
#include "npu_ipc.h"

namespace npu_ipc::party {

// One thread. Names of blocks, regions and mappings are the test's own.
class Party {
 public:
  // Does what one line says and gives the line that answers it: "ok", with " key=value" for each
  // thing to tell, or "error STATUS reason". STATUS is an npu_ipc_status' name, the number of an
  // aclError, or USAGE. Empty where a forked child has answered already.
  std::string Do(const std::string& line);

 private:
  using Words = std::vector<std::string>;
  using Command = std::string (Party::*)(const Words&);
  struct Entry {
    const char* usage;  // its first word is the command's name
    Command command;
  };
  struct Block {
    void* address = nullptr;
    size_t bytes = 0;
  };

  static const std::vector<Entry>& Commands();

  // party.cc: sharing.
  std::string Open(const Words& words);
  std::string WhoAmI(const Words& words);
  std::string Publish(const Words& words);
  std::string RegionInfo(const Words& words);
  std::string Withdraw(const Words& words);
  std::string Attach(const Words& words);
  std::string Info(const Words& words);
  std::string Detach(const Words& words);
  std::string NextEvent(const Words& words);
  std::string Close(const Words& words);
  std::string InChild(const Words& words);
  std::string SendBytes(const Words& words);

  // vendor_commands.cc: what the program does with AscendCL itself.
  std::string Device(const Words& words);
  std::string NewContext(const Words& words);
  std::string DestroyContext(const Words& words);
  std::string ResetDevice(const Words& words);
  std::string Finalize(const Words& words);
  std::string Malloc(const Words& words);
  std::string Free(const Words& words);
  std::string Write(const Words& words);
  std::string Read(const Words& words);
  std::string Copy(const Words& words);
  std::string PeerStatus(const Words& words);
  std::string ImportKey(const Words& words);

  std::string Failed(npu_ipc_status status) const;
  static std::string Failed(aclError error);
  // The mapping's memory of that name, else the block's.
  Block Memory(const std::string& name);

  npu_ipc_client* client_ = nullptr;
  aclrtContext context_ = nullptr;
  std::map<std::string, Block> blocks_;
  std::map<std::string, npu_ipc_region*> regions_;
  std::map<std::string, npu_ipc_mapping*> mappings_;
};

// "ok", with each value given.
std::string Ok(const std::vector<std::pair<std::string, std::string>>& values = {});

}  // namespace npu_ipc::party
