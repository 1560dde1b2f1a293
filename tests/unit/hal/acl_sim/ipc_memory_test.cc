// Memory shared between processes by key, at both ends.
#include <gtest/gtest.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "acl/acl.h"
#include "runtime/rt.h"
#include "runtime/rts/rts_mem.h"
#include "tests/unit/hal/acl_sim/simulated_node.h"

namespace npu_ipc::sim {
namespace {

constexpr size_t kBytes = size_t{4} << 20;

// Inodes of the shared memory that is mapped here and is `bytes` long.
std::vector<std::string> SharedInodes(size_t bytes) {
  std::vector<std::string> inodes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uint64_t begin = 0;
    uint64_t end = 0;
    char mode[5] = {};
    char inode[32] = {};
    if (::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %31s", &begin, &end, mode,
                 inode) == 4 &&
        mode[3] == 's' && end - begin == bytes) {
      inodes.emplace_back(inode);
    }
  }
  return inodes;
}

std::string Export(void* pointer, size_t bytes, uint64_t flags) {
  char key[65] = {};
  EXPECT_EQ(aclrtIpcMemGetExportKey(pointer, bytes, key, sizeof(key), flags), ACL_SUCCESS);
  EXPECT_EQ(::strlen(key), 64U);
  return key;
}

void* Allocate(size_t bytes) {
  void* pointer = nullptr;
  EXPECT_EQ(aclrtMalloc(&pointer, bytes, ACL_MEM_MALLOC_HUGE_ONLY), ACL_SUCCESS);
  return pointer;
}

// Asynchronous device-to-device, waited for.
aclError CopyBetweenDevices(void* to, const void* from, size_t bytes) {
  const aclError error =
      aclrtMemcpyAsync(to, bytes, from, bytes, ACL_MEMCPY_DEVICE_TO_DEVICE, nullptr);
  return error != ACL_SUCCESS ? error : aclrtSynchronizeStream(nullptr);
}

std::vector<uint8_t> Read(const void* pointer, size_t bytes) {
  std::vector<uint8_t> data(bytes);
  EXPECT_EQ(aclrtMemcpy(data.data(), bytes, pointer, bytes, ACL_MEMCPY_DEVICE_TO_HOST),
            ACL_SUCCESS);
  return data;
}

class IpcMemoryTest : public ::testing::Test {
 protected:
  SimulatedDriver driver_;
};

TEST_F(IpcMemoryTest, ImportIsTheSameMemoryAcrossDevices) {
  Peer exporter([](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    ASSERT_EQ(rtEnableP2P(0, 1, 0), ACL_SUCCESS);
    void* const pointer = Allocate(kBytes);
    ASSERT_EQ(aclrtMemset(pointer, kBytes, 0x5A, kBytes), ACL_SUCCESS);
    SendLine(output, Export(pointer, kBytes, 0));
    SendLine(output, SharedInodes(kBytes).at(0));
    const std::string key = ReceiveLine(input);
    int32_t pid = std::stoi(ReceiveLine(input));
    EXPECT_EQ(aclrtIpcMemSetImportPid(key.c_str(), &pid, 1), ACL_SUCCESS);
    SendLine(output, "listed");
    ReceiveLine(input);  // written
    EXPECT_EQ(Read(pointer, kBytes), std::vector<uint8_t>(kBytes, 0xC3));
    EXPECT_EQ(aclrtIpcMemClose(key.c_str()), ACL_SUCCESS);
    EXPECT_EQ(aclrtFree(pointer), ACL_SUCCESS);
  });
  const std::string key = exporter.Receive();
  const std::string inode = exporter.Receive();
  Peer importer([&key, &inode](int input, int output) {
    int32_t pid = -1;
    ASSERT_EQ(aclrtDeviceGetBareTgid(&pid), ACL_SUCCESS);
    EXPECT_EQ(pid, ::getpid());
    SendLine(output, std::to_string(pid));
    ReceiveLine(input);  // listed
    ASSERT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
    void* imported = nullptr;
    EXPECT_EQ(aclrtIpcMemImportByKey(&imported, key.c_str(), 0),
              ACL_ERROR_RT_DRV_INTERNAL_ERROR);  // one direction only, so far
    ASSERT_EQ(rtEnableP2P(1, 0, 0), ACL_SUCCESS);
    ASSERT_EQ(aclrtIpcMemImportByKey(&imported, key.c_str(), 0), ACL_SUCCESS);
    EXPECT_EQ(SharedInodes(kBytes), std::vector<std::string>{inode});

    void* again = nullptr;
    ASSERT_EQ(aclrtIpcMemImportByKey(&again, key.c_str(), 0), ACL_SUCCESS);
    EXPECT_EQ(again, imported);
    EXPECT_EQ(aclrtIpcMemClose(key.c_str()), ACL_SUCCESS);

    void* const own = Allocate(kBytes);
    ASSERT_EQ(CopyBetweenDevices(own, imported, kBytes), ACL_SUCCESS);
    EXPECT_EQ(Read(own, kBytes), std::vector<uint8_t>(kBytes, 0x5A));
    ASSERT_EQ(aclrtMemset(own, kBytes, 0xC3, kBytes), ACL_SUCCESS);
    ASSERT_EQ(CopyBetweenDevices(imported, own, kBytes), ACL_SUCCESS);
    EXPECT_EQ(aclrtIpcMemClose(key.c_str()), ACL_SUCCESS);
    EXPECT_NE(aclrtIpcMemClose(key.c_str()), ACL_SUCCESS);
    EXPECT_NE(aclrtFree(imported), ACL_SUCCESS);
    EXPECT_NE(CopyBetweenDevices(own, imported, kBytes), ACL_SUCCESS);
    SendLine(output, "written");
  });
  exporter.Send(key);
  exporter.Send(importer.Receive());
  importer.Send(exporter.Receive());
  exporter.Send(importer.Receive());
  EXPECT_EQ(importer.Finish(), 0);
  EXPECT_EQ(exporter.Finish(), 0);
}

TEST_F(IpcMemoryTest, OnlySomeCopiesReachAnotherDevicesMemory) {
  Peer exporter([](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    ASSERT_EQ(rtEnableP2P(0, 1, 0), ACL_SUCCESS);
    void* const pointer = Allocate(kBytes);
    ASSERT_EQ(aclrtMemset(pointer, kBytes, 7, kBytes), ACL_SUCCESS);
    SendLine(output, Export(pointer, kBytes, ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION));
    ReceiveLine(input);
    EXPECT_EQ(Read(pointer, kBytes), std::vector<uint8_t>(kBytes, 7)) << "unchanged";
  });
  const std::string key = exporter.Receive();
  InFreshProcess([&key] {
    ASSERT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
    void* imported = nullptr;
    ASSERT_EQ(aclrtIpcMemImportByKey(&imported, key.c_str(),
                                     ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS),
              ACL_SUCCESS);
    std::vector<uint8_t> host(kBytes, 1);
    void* const own = Allocate(kBytes);
    ASSERT_EQ(aclrtMemset(own, kBytes, 1, kBytes), ACL_SUCCESS);
    const auto now = [](void* to, const void* from, aclrtMemcpyKind kind) {
      return aclrtMemcpy(to, kBytes, from, kBytes, kind);
    };
    const auto later = [](void* to, const void* from, aclrtMemcpyKind kind) {
      const aclError error = aclrtMemcpyAsync(to, kBytes, from, kBytes, kind, nullptr);
      return error != ACL_SUCCESS ? error : aclrtSynchronizeStream(nullptr);
    };
    EXPECT_NE(now(imported, host.data(), ACL_MEMCPY_HOST_TO_DEVICE), ACL_SUCCESS);
    EXPECT_NE(now(host.data(), imported, ACL_MEMCPY_DEVICE_TO_HOST), ACL_SUCCESS);
    EXPECT_EQ(now(imported, own, ACL_MEMCPY_DEVICE_TO_DEVICE), ACL_ERROR_RT_DRV_INTERNAL_ERROR);
    EXPECT_NE(now(imported, own, ACL_MEMCPY_DEFAULT), ACL_SUCCESS);
    EXPECT_NE(later(imported, host.data(), ACL_MEMCPY_HOST_TO_DEVICE), ACL_SUCCESS);
    EXPECT_NE(later(host.data(), imported, ACL_MEMCPY_DEVICE_TO_HOST), ACL_SUCCESS);
    EXPECT_NE(later(imported, own, ACL_MEMCPY_DEFAULT), ACL_SUCCESS);
    EXPECT_EQ(host, std::vector<uint8_t>(kBytes, 1)) << "unchanged";
    EXPECT_EQ(later(own, imported, ACL_MEMCPY_DEVICE_TO_DEVICE), ACL_SUCCESS);
    EXPECT_EQ(Read(own, kBytes), std::vector<uint8_t>(kBytes, 7));
  });
  exporter.Send("look");
  EXPECT_EQ(exporter.Finish(), 0);
}

TEST_F(IpcMemoryTest, TheSameDeviceHasNoSuchLimits) {
  Peer exporter([](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* const pointer = Allocate(kBytes);
    ASSERT_EQ(aclrtMemset(pointer, kBytes, 7, kBytes), ACL_SUCCESS);
    SendLine(output, Export(pointer, kBytes, ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION));
    ReceiveLine(input);
  });
  const std::string key = exporter.Receive();
  InFreshProcess([&key] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* imported = nullptr;
    ASSERT_EQ(aclrtIpcMemImportByKey(&imported, key.c_str(), 0), ACL_SUCCESS);
    EXPECT_EQ(Read(imported, kBytes), std::vector<uint8_t>(kBytes, 7));
    char again[65];
    EXPECT_EQ(aclrtIpcMemGetExportKey(imported, kBytes, again, sizeof(again), 0),
              ACL_ERROR_RT_DRV_INTERNAL_ERROR)
        << "memory is exported by its owner only";
    ASSERT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
    void* second = nullptr;
    EXPECT_NE(aclrtIpcMemImportByKey(&second, key.c_str(), 0), ACL_SUCCESS)
        << "one key, one device";
  });
  exporter.Send("done");
  EXPECT_EQ(exporter.Finish(), 0);
}

TEST_F(IpcMemoryTest, TheExportersEndTakesThePagesAway) {
  Peer exporter([](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* const pointer = Allocate(kBytes);
    SendLine(output, Export(pointer, kBytes, ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION));
    ReceiveLine(input);
  });
  const std::string key = exporter.Receive();
  Peer importer([&key](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* imported = nullptr;
    ASSERT_EQ(aclrtIpcMemImportByKey(&imported, key.c_str(), 0), ACL_SUCCESS);
    void* const own = Allocate(kBytes);
    ASSERT_EQ(aclrtMemset(own, kBytes, 9, kBytes), ACL_SUCCESS);
    ASSERT_EQ(CopyBetweenDevices(own, imported, kBytes), ACL_SUCCESS);
    ASSERT_EQ(aclrtMemset(own, kBytes, 9, kBytes), ACL_SUCCESS);
    SendLine(output, "imported");
    ReceiveLine(input);  // killed
    EXPECT_TRUE(WaitUntil([&] {
      return aclrtMemcpy(own, 1, imported, 1, ACL_MEMCPY_DEVICE_TO_DEVICE) != ACL_SUCCESS;
    }));
    ASSERT_EQ(aclrtMemset(own, kBytes, 9, kBytes), ACL_SUCCESS);
    // In a stream the fault shows where the stream is waited for.
    EXPECT_EQ(aclrtMemcpyAsync(own, kBytes, imported, kBytes, ACL_MEMCPY_DEVICE_TO_DEVICE, nullptr),
              ACL_SUCCESS);
    EXPECT_EQ(aclrtSynchronizeStream(nullptr) / 1000, 507);
    EXPECT_EQ(Read(own, kBytes), std::vector<uint8_t>(kBytes, 9)) << "unchanged";
    EXPECT_EQ(aclrtIpcMemClose(key.c_str()), ACL_SUCCESS);
  });
  EXPECT_EQ(importer.Receive(), "imported");
  exporter.Kill();
  importer.Send("killed");
  EXPECT_EQ(importer.Finish(), 0);
}

TEST_F(IpcMemoryTest, ArgumentsAreCheckedWhereTheVendorsAre) {
  InFreshProcess([] {
    char key[65] = "00";
    int32_t pids[32] = {1};
    void* pointer = nullptr;
    EXPECT_EQ(aclrtIpcMemSetImportPid(key, pids, 1), ACL_ERROR_RT_CONTEXT_NULL);
    EXPECT_EQ(aclrtIpcMemImportByKey(&pointer, key, 0), ACL_ERROR_RT_CONTEXT_NULL);
    EXPECT_EQ(aclrtIpcMemClose(key), ACL_ERROR_RT_CONTEXT_NULL);
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* const memory = Allocate(kBytes);
    EXPECT_EQ(aclrtIpcMemGetExportKey(nullptr, kBytes, key, 65, 0), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtIpcMemGetExportKey(memory, kBytes, nullptr, 65, 0), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtIpcMemGetExportKey(memory, kBytes, key, 64, 0), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(aclrtIpcMemGetExportKey(memory, 0, key, 65, 0), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(aclrtIpcMemGetExportKey(memory, kBytes + 1, key, 65, 0),
              ACL_ERROR_RT_DRV_INTERNAL_ERROR);
    EXPECT_EQ(aclrtIpcMemGetExportKey(static_cast<char*>(memory) + 4096, 4096, key, 65, 0),
              ACL_ERROR_RT_DRV_INTERNAL_ERROR)
        << "not on a 2 MiB page";
    EXPECT_EQ(aclrtIpcMemGetExportKey(key, 65, key, 65, 0), ACL_ERROR_RT_DRV_INTERNAL_ERROR)
        << "host memory";

    const std::string good = Export(memory, kBytes, 0);
    EXPECT_EQ(aclrtIpcMemSetImportPid(good.c_str(), pids, 0), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(aclrtIpcMemSetImportPid(good.c_str(), pids, 32), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(aclrtIpcMemSetImportPid(good.c_str(), pids, size_t{1} << 32),
              ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(aclrtIpcMemSetImportPid("", pids, 1), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(aclrtIpcMemSetImportPid((good + "0").c_str(), pids, 1), ACL_ERROR_RT_PARAM_INVALID);
    EXPECT_EQ(aclrtIpcMemSetImportPid(nullptr, pids, 1), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtIpcMemSetImportPid(good.c_str(), nullptr, 1), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtIpcMemImportByKey(&pointer, good.c_str(), 0), ACL_ERROR_RT_DRV_INTERNAL_ERROR)
        << "its own, and not listed";
    const char* message = aclGetRecentErrMsg();
    ASSERT_NE(message, nullptr);
    EXPECT_EQ(::strstr(message, good.c_str()), nullptr) << "a key is not told to logs";
    EXPECT_EQ(aclrtIpcMemImportByKey(nullptr, good.c_str(), 0), ACL_ERROR_INVALID_PARAM);

    EXPECT_EQ(aclrtIpcMemClose(good.c_str()), ACL_SUCCESS);
    EXPECT_NE(aclrtIpcMemClose(good.c_str()), ACL_SUCCESS);
    const std::string open =
        Export(memory, kBytes, ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION);
    EXPECT_EQ(aclrtIpcMemSetImportPid(open.c_str(), pids, 1), ACL_ERROR_RT_NO_PERMISSION);
    EXPECT_EQ(aclrtIpcMemClose(open.c_str()), ACL_SUCCESS);
    EXPECT_EQ(aclrtFree(memory), ACL_SUCCESS);
  });
}

TEST_F(IpcMemoryTest, TheOlderNamesDoTheSame) {
  Peer exporter([](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* const pointer = Allocate(kBytes);
    char key[65] = {};
    ASSERT_EQ(rtIpcSetMemoryName(pointer, kBytes, key, sizeof(key)), ACL_SUCCESS);
    SendLine(output, key);
    int32_t pid = std::stoi(ReceiveLine(input));
    EXPECT_EQ(rtSetIpcMemPid(key, &pid, 1), ACL_SUCCESS);
    SendLine(output, "listed");
    ReceiveLine(input);
    EXPECT_EQ(rtIpcDestroyMemoryName(key), ACL_SUCCESS);
  });
  const std::string key = exporter.Receive();
  Peer importer([&key](int input, int output) {
    SendLine(output, std::to_string(::getpid()));
    ReceiveLine(input);
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* pointer = nullptr;
    ASSERT_EQ(rtIpcOpenMemory(&pointer, key.c_str()), ACL_SUCCESS);
    EXPECT_EQ(rtIpcCloseMemory(pointer), ACL_SUCCESS);
    EXPECT_NE(rtIpcCloseMemory(pointer), ACL_SUCCESS);
  });
  exporter.Send(importer.Receive());
  importer.Send(exporter.Receive());
  EXPECT_EQ(importer.Finish(), 0);
  exporter.Send("done");
  EXPECT_EQ(exporter.Finish(), 0);
}

TEST_F(IpcMemoryTest, ASizeBeyondTheMachinesMemoryIsStillAMapping) {
  constexpr size_t kHuge = size_t{48} << 30;
  Peer exporter([](int input, int output) {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* const pointer = Allocate(kHuge);
    ASSERT_EQ(aclrtMemset(pointer, 16, 3, 16), ACL_SUCCESS);
    SendLine(output, Export(pointer, kHuge, ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION));
    ReceiveLine(input);
  });
  const std::string key = exporter.Receive();
  InFreshProcess([&key] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    void* imported = nullptr;
    ASSERT_EQ(aclrtIpcMemImportByKey(&imported, key.c_str(), 0), ACL_SUCCESS);
    EXPECT_EQ(Read(imported, 16), std::vector<uint8_t>(16, 3));
    EXPECT_EQ(Read(static_cast<char*>(imported) + kHuge - 16, 16), std::vector<uint8_t>(16, 0));
    EXPECT_EQ(aclrtIpcMemClose(key.c_str()), ACL_SUCCESS);
  });
  exporter.Send("done");
  EXPECT_EQ(exporter.Finish(), 0);
}

}  // namespace
}  // namespace npu_ipc::sim
