#include "tests/conformance/party.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "hal/dcmi/dcmi_interface_api.h"
#include "runtime/rt_external_device.h"
#include "tests/conformance/device_copy.h"

namespace npu_ipc::conformance {
namespace {

// Large enough for one more than a call may have.
struct PidList {
  int32_t pids[kMaxPidsPerCall + 1];
  size_t count;
};

// Where DCMI has a device.
struct DcmiId {
  int card;
  int device;
};

Answer<DcmiId> FindInDcmi(int physical_id) {
  Answer<DcmiId> found = {};
  found.code = dcmi_init();
  if (found.code != 0) return found;
  found.code = dcmi_get_card_id_device_id_from_phyid(&found.value.card, &found.value.device,
                                                     static_cast<unsigned int>(physical_id));
  return found;
}

}  // namespace

Party::Party(std::shared_ptr<Process> process, int device, int32_t user_device)
    : process_(std::move(process)), device_(device), user_device_(user_device) {
  EXPECT_EQ(Call([] { return aclInit(nullptr); }), ACL_SUCCESS);
}

Party::Party(const Surroundings& surroundings)
    : Party(std::make_shared<Process>(surroundings), -1, 0) {
  if (surroundings.devices.size() == 1) device_ = surroundings.devices.front();
}

Party Party::OnHost(int device) { return Of(std::make_unique<Process>(Host()), device); }

Party Party::InContainer(int device) {
  Party party(Container({device}));
  party.SetDevice(0);
  return party;
}

Party Party::Beside(const Party& neighbour) {
  return Party(std::make_shared<Process>(Process::Beside(*neighbour.process_)), neighbour.device_,
               neighbour.user_device_);
}

Party Party::Of(std::unique_ptr<Process> process, int device) {
  Party party(std::shared_ptr<Process>(std::move(process)), device, device);
  party.SetDevice(device);
  return party;
}

Party Party::OnNewThread() const {
  Party other = *this;
  other.thread_ = Process::Thread::kNew;
  return other;
}

int32_t Party::OwnPid() {
  return Call([] { return static_cast<int32_t>(::getpid()); });
}

int32_t Party::BareTgid() {
  return Get([] {
    Answer<int32_t> tgid = {};
    tgid.code = aclrtDeviceGetBareTgid(&tgid.value);
    return tgid;
  });
}

void Party::SetDevice(int32_t user_id) { EXPECT_EQ(TrySetDevice(user_id), ACL_SUCCESS); }

aclError Party::TrySetDevice(int32_t user_id) {
  return Call([](int32_t id) { return aclrtSetDevice(id); }, user_id);
}

uint32_t Party::DeviceCount() {
  return Get([] {
    Answer<uint32_t> count = {};
    count.code = aclrtGetDeviceCount(&count.value);
    return count;
  });
}

Block Party::Allocate(uint64_t bytes, aclrtMemMallocPolicy policy) {
  void* const address = Get(
      [](uint64_t size, aclrtMemMallocPolicy how) {
        Answer<void*> memory = {};
        memory.code = aclrtMalloc(&memory.value, size, how);
        return memory;
      },
      bytes, policy);
  return {address, bytes};
}

void Party::Free(const Block& block) { EXPECT_EQ(TryFree(block.address), ACL_SUCCESS); }

aclError Party::TryFree(void* address) {
  return Call([](void* memory) { return aclrtFree(memory); }, address);
}

Key Party::Export(const Block& block, uint64_t flags) {
  const Answer<Key> exported = TryExport(block, flags);
  EXPECT_EQ(exported.code, ACL_SUCCESS);
  return exported.value;
}

Answer<Key> Party::TryExport(const Block& block, uint64_t flags, size_t key_bytes) {
  return Call(
      [](Block memory, uint64_t how, size_t length) {
        Answer<Key> exported = {};
        exported.code =
            aclrtIpcMemGetExportKey(memory.address, memory.bytes, exported.value.text, length, how);
        return exported;
      },
      block, flags, key_bytes);
}

void Party::SetImportPids(const Key& key, const std::vector<int32_t>& pids) {
  EXPECT_EQ(TrySetImportPids(key, pids), ACL_SUCCESS);
}

aclError Party::TrySetImportPids(const Key& key, const std::vector<int32_t>& pids) {
  PidList list = {};
  EXPECT_LE(pids.size(), std::size(list.pids));
  list.count = std::min(pids.size(), std::size(list.pids));
  std::copy_n(pids.begin(), list.count, list.pids);
  return Call(
      [](Key name, PidList listed) {
        return aclrtIpcMemSetImportPid(name.text, listed.pids, listed.count);
      },
      key, list);
}

void Party::Admit(const Key& key, Party& importer) { SetImportPids(key, {importer.BareTgid()}); }

void* Party::Import(const Key& key, uint64_t flags) {
  const Answer<void*> imported = TryImport(key, flags);
  EXPECT_EQ(imported.code, ACL_SUCCESS);
  return imported.value;
}

Answer<void*> Party::TryImport(const Key& key, uint64_t flags) {
  return Call(
      [](Key name, uint64_t how) {
        Answer<void*> imported = {};
        imported.code = aclrtIpcMemImportByKey(&imported.value, name.text, how);
        return imported;
      },
      key, flags);
}

void Party::Close(const Key& key) { EXPECT_EQ(TryClose(key), ACL_SUCCESS); }

aclError Party::TryClose(const Key& key) {
  return Call([](Key name) { return aclrtIpcMemClose(name.text); }, key);
}

void Party::Write(void* address, uint64_t bytes, uint64_t first_word) {
  EXPECT_EQ(TryWrite(address, bytes, first_word), ACL_SUCCESS);
}

aclError Party::TryWrite(void* address, uint64_t bytes, uint64_t first_word) {
  return Call([](void* to, uint64_t size, uint64_t word) { return WritePattern(to, size, word); },
              address, bytes, first_word);
}

uint64_t Party::Read(void* address, uint64_t bytes) {
  const Contents contents = TryRead(address, bytes);
  EXPECT_EQ(contents.code, ACL_SUCCESS);
  EXPECT_TRUE(contents.is_pattern);
  return contents.first_word;
}

Contents Party::TryRead(void* address, uint64_t bytes) {
  return Call(
      [](void* from, uint64_t size) {
        Contents contents = {};
        contents.code = ReadPattern(from, size, &contents.is_pattern, &contents.first_word);
        return contents;
      },
      address, bytes);
}

aclError Party::TryCopy(const Block& to, const void* from) {
  return Call(
      [](Block target, const void* source) {
        return CopyAsync(target.address, source, target.bytes, ACL_MEMCPY_DEVICE_TO_DEVICE);
      },
      to, from);
}

void Party::EnableP2P(int peer) { EXPECT_EQ(TryEnableP2P(peer), ACL_SUCCESS); }

aclError Party::TryEnableP2P(int peer) {
  return Call([](uint32_t own, uint32_t other) { return rtEnableP2P(own, other, 0); },
              static_cast<uint32_t>(user_device_), static_cast<uint32_t>(peer));
}

aclError Party::TryDisableP2P(int peer) {
  return Call([](uint32_t own, uint32_t other) { return rtDisableP2P(own, other); },
              static_cast<uint32_t>(user_device_), static_cast<uint32_t>(peer));
}

bool Party::P2PIsEnabled(int peer) {
  return Get(
             [](uint32_t own, uint32_t other) {
               Answer<uint32_t> status = {};
               status.code = rtGetP2PStatus(own, other, &status.value);
               return status;
             },
             static_cast<uint32_t>(user_device_), static_cast<uint32_t>(peer)) == 1;
}

bool Party::CanAccessPeer(int32_t user_id, int32_t peer_user_id) {
  return Get(
             [](int32_t own, int32_t other) {
               Answer<int32_t> can = {};
               can.code = aclrtDeviceCanAccessPeer(&can.value, own, other);
               return can;
             },
             user_id, peer_user_id) == 1;
}

aclError Party::TryEnablePeerAccess(int32_t peer_user_id, uint32_t flags) {
  return Call([](int32_t other, uint32_t how) { return aclrtDeviceEnablePeerAccess(other, how); },
              peer_user_id, flags);
}

aclError Party::TryDisablePeerAccess(int32_t peer_user_id) {
  return Call([](int32_t other) { return aclrtDeviceDisablePeerAccess(other); }, peer_user_id);
}

bool Party::PeerAccessIsEnabled(int32_t user_id, int32_t peer_user_id) {
  return Get(
             [](int32_t own, int32_t other) {
               Answer<int32_t> status = {};
               status.code = aclrtDevicePeerAccessStatus(own, other, &status.value);
               return status;
             },
             user_id, peer_user_id) == 1;
}

bool Party::DeviceShare(int device) {
  return Get(
             [](int physical_id) {
               const Answer<DcmiId> found = FindInDcmi(physical_id);
               if (found.code != 0) return Answer<int>{found.code, 0};
               Answer<int> share = {};
               share.code =
                   dcmi_get_device_share_enable(found.value.card, found.value.device, &share.value);
               return share;
             },
             device) == 1;
}

int Party::TrySetDeviceShare(int device, bool enabled) {
  return Call(
      [](int physical_id, bool enable) {
        const Answer<DcmiId> found = FindInDcmi(physical_id);
        if (found.code != 0) return found.code;
        return dcmi_set_device_share_enable(found.value.card, found.value.device, enable ? 1 : 0);
      },
      device, enabled);
}

void EnableP2PBothWays(Party& one, Party& other) {
  one.EnableP2P(other.device());
  other.EnableP2P(one.device());
}

}  // namespace npu_ipc::conformance
