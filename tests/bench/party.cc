#include "tests/bench/party.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

#include "acl/acl.h"
#include "hal/base/unix_socket.h"
#include "npu_ipc.h"
#include "runtime/rt_external_device.h"
#include "tests/bench/samples.h"

namespace npu_ipc {
namespace {

// Rounds that are run before anything is counted: first use of threads, peer access, caches.
constexpr int kWarmUp = 5;
constexpr int kCopies = 60;

void Check(int64_t code, const char* call) {
  if (code == 0) return;
  std::cerr << call << " failed with " << code << std::endl;
  ::exit(1);
}

template <class T>
T Value(Result<T> result) {
  if (!result.ok()) {
    std::cerr << result.status().message() << std::endl;
    ::exit(1);
  }
  return std::move(result).value();
}

npu_ipc_client* OpenClient() {
  npu_ipc_client* client = nullptr;
  Check(npu_ipc_open(nullptr, &client), "npu_ipc_open");
  return client;
}

void UseDevice() {
  Check(aclInit(nullptr), "aclInit");
  Check(aclrtSetDevice(0), "aclrtSetDevice");
}

uint32_t PhysicalDevice() {
  int32_t physical = 0;
  Check(aclrtGetPhyDevIdByUserDevId(0, &physical), "aclrtGetPhyDevIdByUserDevId");
  return static_cast<uint32_t>(physical);
}

void* DeviceMemory(uint64_t bytes) {
  void* dev_ptr = nullptr;
  Check(aclrtMalloc(&dev_ptr, bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
  return dev_ptr;
}

// Peer access as both ways need it, once.
void EnablePeer(uint32_t peer_physical) {
  static std::once_flag enabled;
  std::call_once(enabled, [&] { Check(rtEnableP2P(0, peer_physical, 0), "rtEnableP2P"); });
}

// Answers one importer until it closes.
void ServePlainly(int socket, const std::vector<std::string>& keys) {
  const uint32_t own = PhysicalDevice();
  for (;;) {
    PlainRequest request;
    const ReceivedMessage got = Value(ReceiveMessage(socket, &request, sizeof(request)));
    if (got.end_of_stream) return;
    EnablePeer(request.importer_physical_device);
    if (request.whitelisted == 0) {
      Check(aclrtIpcMemSetImportPid(keys[request.index].c_str(), &request.bare_tgid, 1),
            "aclrtIpcMemSetImportPid");
    }
    PlainAnswer answer = {};
    std::memcpy(answer.key, keys[request.index].c_str(), sizeof(answer.key));
    answer.exporter_physical_device = own;
    Check(SendMessage(socket, &answer, sizeof(answer)).ok() ? 0 : -1, "send");
  }
}

// One import the plain way, key and pid exchanged over the exporter's own socket.
std::string ImportPlainly(int socket, const PlainRequest& request) {
  PlainAnswer answer;
  Check(SendMessage(socket, &request, sizeof(request)).ok() ? 0 : -1, "send");
  const ReceivedMessage got = Value(ReceiveMessage(socket, &answer, sizeof(answer)));
  Check(got.end_of_stream ? -1 : 0, "receive");
  EnablePeer(answer.exporter_physical_device);
  void* dev_ptr = nullptr;
  Check(aclrtIpcMemImportByKey(&dev_ptr, answer.key, ACL_RT_IPC_MEM_IMPORT_FLAG_DEFAULT),
        "aclrtIpcMemImportByKey");
  return answer.key;
}

// Returns when the process is whitelisted for all of the `count` regions.
npu_ipc_subscription* SubscribeAhead(npu_ipc_client* client, int count) {
  npu_ipc_subscribe_options options = {};
  options.struct_bytes = sizeof(options);
  options.prefix = "s";
  options.admit_ahead = 1;
  npu_ipc_subscription* subscription = nullptr;
  Check(npu_ipc_subscribe(client, &options, &subscription), "npu_ipc_subscribe");
  for (int admitted = 0; admitted < count;) {
    npu_ipc_change change = NPU_IPC_CHANGE_GONE;
    npu_ipc_region_description region = {};
    region.struct_bytes = sizeof(region);
    Check(npu_ipc_subscription_next(subscription, 30000, &change, &region),
          "npu_ipc_subscription_next");
    Check(change == NPU_IPC_CHANGE_RESET ? -1 : 0, "a subscription without a reset");
    if (change == NPU_IPC_CHANGE_ADMITTED) ++admitted;
  }
  return subscription;
}

void MeasureAttach(npu_ipc_client* client, int count, const std::string& directory) {
  const UniqueFd socket = Value(ConnectUnix(directory + kPlainSocket));
  const UniqueFd relay = Value(ConnectUnix(directory + kRelayImporterSocket));
  // Keeps peer access enabled, as the plain way does: the vendor calls are the same then.
  npu_ipc_mapping* held = nullptr;
  Check(npu_ipc_attach(client, "big", nullptr, &held), "npu_ipc_attach");
  PlainRequest request = {};
  request.importer_physical_device = PhysicalDevice();
  Check(aclrtDeviceGetBareTgid(&request.bare_tgid), "aclrtDeviceGetBareTgid");
  // Those of the last kind are whitelisted now.
  std::string key;
  for (int i = 0; i < count; ++i) {
    request.index = static_cast<uint32_t>(2 * count + i);
    key = ImportPlainly(socket.get(), request);
    Check(aclrtIpcMemClose(key.c_str()), "aclrtIpcMemClose");
  }
  npu_ipc_subscription* const subscription = SubscribeAhead(client, count);
  Samples ours, subscribed, plain, raw, relayed;
  for (int i = 0; i < count; ++i) {
    Samples discarded;
    request.index = static_cast<uint32_t>(i);
    (i < kWarmUp ? discarded : plain).Time([&] { key = ImportPlainly(socket.get(), request); });
    Check(aclrtIpcMemClose(key.c_str()), "aclrtIpcMemClose");

    request.index = static_cast<uint32_t>(count + i);
    (i < kWarmUp ? discarded : relayed).Time([&] { key = ImportPlainly(relay.get(), request); });
    Check(aclrtIpcMemClose(key.c_str()), "aclrtIpcMemClose");

    request.index = static_cast<uint32_t>(2 * count + i);
    request.whitelisted = 1;
    (i < kWarmUp ? discarded : raw).Time([&] { key = ImportPlainly(socket.get(), request); });
    request.whitelisted = 0;
    Check(aclrtIpcMemClose(key.c_str()), "aclrtIpcMemClose");

    for (const char kind : {'r', 's'}) {
      const std::string name = kind + std::to_string(i);
      npu_ipc_mapping* mapping = nullptr;
      (i < kWarmUp   ? discarded
       : kind == 'r' ? ours
                     : subscribed)
          .Time([&] {
            Check(npu_ipc_attach(client, name.c_str(), nullptr, &mapping), "npu_ipc_attach");
          });
      Check(npu_ipc_detach(mapping), "npu_ipc_detach");
    }
  }
  Check(npu_ipc_unsubscribe(subscription), "npu_ipc_unsubscribe");
  Check(npu_ipc_detach(held), "npu_ipc_detach");
  std::cout << plain.Report("plain") << "\n"
            << raw.Report("raw") << "\n"
            << relayed.Report("relayed") << "\n"
            << subscribed.Report("subscribed") << "\n"
            << ours.Report("attach") << std::endl;
}

// The same asynchronous copy into our own buffer, from our own memory and from the exporter's.
void MeasureCopies(npu_ipc_client* client) {
  npu_ipc_mapping* mapping = nullptr;
  Check(npu_ipc_attach(client, "big", nullptr, &mapping), "npu_ipc_attach");
  npu_ipc_mapping_info info = {};
  info.struct_bytes = sizeof(info);
  Check(npu_ipc_mapping_get_info(mapping, &info), "npu_ipc_mapping_get_info");
  void* to = DeviceMemory(kCopyBytes);
  void* own = DeviceMemory(kCopyBytes);
  Check(aclrtMemset(own, kCopyBytes, 1, kCopyBytes), "aclrtMemset");
  aclrtStream stream = nullptr;
  Check(aclrtCreateStream(&stream), "aclrtCreateStream");
  const auto copy = [&](const void* from) {
    Check(aclrtMemcpyAsync(to, kCopyBytes, from, kCopyBytes, ACL_MEMCPY_DEVICE_TO_DEVICE, stream),
          "aclrtMemcpyAsync");
    Check(aclrtSynchronizeStream(stream), "aclrtSynchronizeStream");
  };
  Samples from_own, from_exporter;
  for (int i = 0; i < kCopies; ++i) {
    Samples discarded;
    (i < kWarmUp ? discarded : from_own).Time([&] { copy(own); });
    (i < kWarmUp ? discarded : from_exporter).Time([&] { copy(info.dev_ptr); });
  }
  std::cout << from_own.Report("copy_own") << "\n"
            << from_exporter.Report("copy_attached") << std::endl;
  Check(npu_ipc_detach(mapping), "npu_ipc_detach");
}

}  // namespace

int RunBenchExporter(int count, const std::string& directory) {
  npu_ipc_client* client = OpenClient();
  UseDevice();
  for (int i = 0; i < count; ++i) {
    npu_ipc_region* region = nullptr;
    for (const char kind : {'r', 's'}) {
      Check(npu_ipc_publish(client, (kind + std::to_string(i)).c_str(), DeviceMemory(kRegionBytes),
                            kRegionBytes, nullptr, &region),
            "npu_ipc_publish");
    }
  }
  // Those of the plain way, those of the relayed one, those that are whitelisted before.
  std::vector<std::string> keys;
  for (int i = 0; i < 3 * count; ++i) {
    char key[65] = {};
    Check(aclrtIpcMemGetExportKey(DeviceMemory(kRegionBytes), kRegionBytes, key, sizeof(key),
                                  ACL_RT_IPC_MEM_EXPORT_FLAG_DEFAULT),
          "aclrtIpcMemGetExportKey");
    keys.emplace_back(key);
  }
  void* big = DeviceMemory(kCopyBytes);
  Check(aclrtMemset(big, kCopyBytes, 2, kCopyBytes), "aclrtMemset");
  npu_ipc_region* region = nullptr;
  Check(npu_ipc_publish(client, "big", big, kCopyBytes, nullptr, &region), "npu_ipc_publish");

  const UniqueFd relay = Value(ConnectUnix(directory + kRelayExporterSocket));
  std::thread relayed([&] {
    Check(aclrtSetDevice(0), "aclrtSetDevice");
    ServePlainly(relay.get(), keys);
  });
  const auto listener = Value(UnixListener::Listen(directory + kPlainSocket, 0666));
  std::cout << "ready" << std::endl;
  pollfd waiting[] = {{listener->fd(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
  while (::poll(waiting, 2, -1) > 0 && waiting[1].revents == 0) {
    const UniqueFd peer = Value(listener->Accept());
    if (peer) {
      // The plain way blocks, as a program written by hand would.
      ::fcntl(peer.get(), F_SETFL, 0);
      ServePlainly(peer.get(), keys);
    }
  }
  ::shutdown(relay.get(), SHUT_RDWR);
  relayed.join();
  npu_ipc_close(client);
  return 0;
}

int RunBenchImporter(int count, const std::string& directory) {
  npu_ipc_client* client = OpenClient();
  UseDevice();
  MeasureAttach(client, count, directory);
  MeasureCopies(client);
  npu_ipc_close(client);
  return 0;
}

}  // namespace npu_ipc
