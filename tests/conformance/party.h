// A process that calls the vendor's libraries as a test tells it to.
//
// Methods are named after what a program does. The plain ones expect success and fail the test
// otherwise; those that begin with Try return the vendor's code for the test to judge.
#pragma once

#include <gtest/gtest.h>
#include <stdint.h>

#include <memory>
#include <utility>
#include <vector>

#include "acl/acl.h"
#include "tests/conformance/process.h"

namespace npu_ipc::conformance {

inline constexpr uint64_t kHugePageBytes = 2 << 20;
inline constexpr size_t kKeyBytes = 65;  // 64 printable characters and the NUL
inline constexpr size_t kMaxPidsPerCall = 31;

struct Key {
  char text[kKeyBytes];
};

// Device memory; the address means something in the party that it is from.
struct Block {
  void* address;
  uint64_t bytes;
};

// What a call returned, and gave where that is success.
template <class Value>
struct Answer {
  aclError code;
  Value value;
};

// What memory holds, if it is a pattern: 64-bit words, each one more than the one before it.
struct Contents {
  aclError code;
  bool is_pattern;
  uint64_t first_word;
};

// A handle: copies are the same process, which ends with the last of them.
class Party {
 public:
  // A process that has called aclInit and nothing else.
  explicit Party(const Surroundings& surroundings);
  // Such a process on the host, or alone in an ordinary container, that has set `device` (by its
  // physical id; in the container, where it is the only one, it is device 0).
  static Party OnHost(int device);
  static Party InContainer(int device);
  // Another one in the container of `neighbour`.
  static Party Beside(const Party& neighbour);
  // A process that a test has started itself, and its device.
  static Party Of(std::unique_ptr<Process> process, int device);

  // The same process, but each call is made on a new thread of it.
  Party OnNewThread() const;

  Process& process() { return *process_; }
  pid_t host_pid() const { return process_->pid(); }
  int32_t OwnPid();  // getpid() over there
  int32_t BareTgid();
  int device() const { return device_; }  // physical id

  void SetDevice(int32_t user_id);
  aclError TrySetDevice(int32_t user_id);
  uint32_t DeviceCount();

  Block Allocate(uint64_t bytes = kHugePageBytes,
                 aclrtMemMallocPolicy policy = ACL_MEM_MALLOC_HUGE_FIRST);
  void Free(const Block& block);
  aclError TryFree(void* address);

  Key Export(const Block& block, uint64_t flags = ACL_RT_IPC_MEM_EXPORT_FLAG_DEFAULT);
  Answer<Key> TryExport(const Block& block, uint64_t flags = ACL_RT_IPC_MEM_EXPORT_FLAG_DEFAULT,
                        size_t key_bytes = kKeyBytes);
  void SetImportPids(const Key& key, const std::vector<int32_t>& pids);
  aclError TrySetImportPids(const Key& key, const std::vector<int32_t>& pids);
  // Lists the importer as programs do: by its own bare tgid.
  void Admit(const Key& key, Party& importer);
  void* Import(const Key& key, uint64_t flags = ACL_RT_IPC_MEM_IMPORT_FLAG_DEFAULT);
  Answer<void*> TryImport(const Key& key, uint64_t flags = ACL_RT_IPC_MEM_IMPORT_FLAG_DEFAULT);
  void Close(const Key& key);
  aclError TryClose(const Key& key);

  // Through memory of the own device and asynchronous device-to-device copies, which every mapping
  // allows.
  void Write(void* address, uint64_t bytes, uint64_t first_word);
  aclError TryWrite(void* address, uint64_t bytes, uint64_t first_word);
  uint64_t Read(void* address, uint64_t bytes);  // the first word; expects a pattern
  Contents TryRead(void* address, uint64_t bytes);
  // One asynchronous copy between devices, waited for.
  aclError TryCopy(const Block& to, const void* from);

  // Requests the direction from the own device to `peer`, by physical id.
  void EnableP2P(int peer);
  aclError TryEnableP2P(int peer);
  aclError TryDisableP2P(int peer);
  bool P2PIsEnabled(int peer);

  // By user id, as the ACL has it.
  bool CanAccessPeer(int32_t user_id, int32_t peer_user_id);
  aclError TryEnablePeerAccess(int32_t peer_user_id, uint32_t flags = 0);
  aclError TryDisablePeerAccess(int32_t peer_user_id);
  bool PeerAccessIsEnabled(int32_t user_id, int32_t peer_user_id);

  // Through DCMI, by physical id; with DCMI's code.
  bool DeviceShare(int device);
  int TrySetDeviceShare(int device, bool enabled);

  void Exit() { process_->Exit(); }
  void Kill() { process_->Kill(); }

  // Anything else; `body` captures nothing (process.h).
  template <class Body, class... Arguments>
  auto Call(Body body, Arguments... arguments) {
    return process_->Call(thread_, body, arguments...);
  }
  // The same for a body that returns an Answer; expects success.
  template <class Body, class... Arguments>
  auto Get(Body body, Arguments... arguments) {
    const auto answer = Call(body, arguments...);
    EXPECT_EQ(answer.code, ACL_SUCCESS);
    return answer.value;
  }

 private:
  Party(std::shared_ptr<Process> process, int device, int32_t user_device);

  std::shared_ptr<Process> process_;
  Process::Thread thread_ = Process::Thread::kMain;
  int device_ = -1;
  int32_t user_device_ = 0;
};

// Both directions between the devices of two parties, each asking for its own.
void EnableP2PBothWays(Party& one, Party& other);

}  // namespace npu_ipc::conformance
