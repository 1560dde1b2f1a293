// A C++ program that loads AscendCL for itself alone, and looks every function up on the handle, as
// torch_npu does; commands.txt says what it does.
#include <acl/acl.h>
#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <mutex>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t kKeyBytes = 65;
constexpr int kPrintedErrno = 42;

void* Library() {
  static void* const handle = ::dlopen("libascendcl.so", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(::dlerror());
  return handle;
}

template <class Function>
Function* Find(const char* name) {
  void* const found = ::dlsym(Library(), name);
  if (found == nullptr) throw std::runtime_error(::dlerror());
  return reinterpret_cast<Function*>(found);
}

#define ACL(name) Find<decltype(name)>(#name)

struct Failure {
  aclError code;
  const char* call;
};

void Require(aclError code, const char* call) {
  if (code != ACL_SUCCESS) throw Failure{code, call};
}

class Program {
 public:
  std::string Do(const std::string& command, std::istringstream& rest) {
    return commands_.at(command)(rest);
  }

 private:
  std::string Device(std::istringstream& rest) {
    int device = 0;
    rest >> device;
    ACL(aclInit)(nullptr);
    Require(ACL(aclrtSetDevice)(device), "aclrtSetDevice");
    return "";
  }

  std::string Malloc(std::istringstream& rest) {
    rest >> bytes_;
    Require(ACL(aclrtMalloc)(&block_, bytes_, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    return "";
  }

  std::string Export(std::istringstream& rest) {
    uint64_t flags = 0;
    rest >> flags;
    char key[kKeyBytes] = {};
    errno = kPrintedErrno;
    Require(ACL(aclrtIpcMemGetExportKey)(block_, bytes_, key, sizeof(key), flags),
            "aclrtIpcMemGetExportKey");
    return "key=" + std::string(key) + Errno();
  }

  std::string ExportLocked(std::istringstream& rest) {
    std::mutex mutex;
    std::string key;
    std::string seen;
    std::unique_lock<std::mutex> lock(mutex);
    std::thread other([&] {
      const std::lock_guard<std::mutex> other_lock(mutex);
      seen = key;
    });
    try {
      key = Export(rest);
    } catch (...) {
      lock.unlock();
      other.join();
      throw;
    }
    lock.unlock();
    other.join();
    return seen;
  }

  std::string Tgid(std::istringstream&) {
    int32_t pid = 0;
    Require(ACL(aclrtDeviceGetBareTgid)(&pid), "aclrtDeviceGetBareTgid");
    return "pid=" + std::to_string(pid);
  }

  std::string Allow(std::istringstream& rest) {
    std::string key;
    rest >> key;
    std::vector<int32_t> pids;
    for (int32_t pid = 0; rest >> pid;) pids.push_back(pid);
    errno = kPrintedErrno;
    Require(ACL(aclrtIpcMemSetImportPid)(key.c_str(), pids.data(), pids.size()),
            "aclrtIpcMemSetImportPid");
    return Errno();
  }

  std::string Import(std::istringstream& rest) {
    std::string key;
    uint64_t flags = 0;
    rest >> key >> flags;
    errno = kPrintedErrno;
    Require(ACL(aclrtIpcMemImportByKey)(&block_, key.c_str(), flags), "aclrtIpcMemImportByKey");
    return Errno();
  }

  void Copy(void* to, const void* from) {
    aclrtStream stream = nullptr;
    Require(ACL(aclrtCreateStream)(&stream), "aclrtCreateStream");
    Require(ACL(aclrtMemcpyAsync)(to, bytes_, from, bytes_, ACL_MEMCPY_DEVICE_TO_DEVICE, stream),
            "aclrtMemcpyAsync");
    Require(ACL(aclrtSynchronizeStream)(stream), "aclrtSynchronizeStream");
    ACL(aclrtDestroyStream)(stream);
  }

  std::string Write(std::istringstream& rest) {
    std::vector<uint64_t> words(bytes_ / sizeof(uint64_t));
    uint64_t first_word = 0;
    rest >> first_word;
    std::iota(words.begin(), words.end(), first_word);
    void* staging = nullptr;
    Require(ACL(aclrtMalloc)(&staging, bytes_, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    Require(ACL(aclrtMemcpy)(staging, bytes_, words.data(), bytes_, ACL_MEMCPY_HOST_TO_DEVICE),
            "aclrtMemcpy");
    Copy(block_, staging);
    ACL(aclrtFree)(staging);
    return "";
  }

  std::string Read(std::istringstream&) {
    std::vector<uint64_t> words(bytes_ / sizeof(uint64_t));
    void* staging = nullptr;
    Require(ACL(aclrtMalloc)(&staging, bytes_, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    Copy(staging, block_);
    Require(ACL(aclrtMemcpy)(words.data(), bytes_, staging, bytes_, ACL_MEMCPY_DEVICE_TO_HOST),
            "aclrtMemcpy");
    ACL(aclrtFree)(staging);
    std::vector<uint64_t> expected(words.size());
    std::iota(expected.begin(), expected.end(), words.front());
    return std::string("whole=") + (words == expected ? "yes" : "no") +
           " first_word=" + std::to_string(words.front());
  }

  std::string Close(std::istringstream& rest) {
    std::string key;
    rest >> key;
    errno = kPrintedErrno;
    Require(ACL(aclrtIpcMemClose)(key.c_str()), "aclrtIpcMemClose");
    return Errno();
  }

  std::string Fork(std::istringstream& rest) {
    std::string key;
    rest >> key;
    int answer[2];
    if (::pipe(answer) != 0) throw std::runtime_error("pipe");
    if (::fork() == 0) {
      const aclError code = ACL(aclrtIpcMemClose)(key.c_str());
      if (::write(answer[1], &code, sizeof(code)) < 0) ::_exit(1);
      ::pause();
      ::_exit(0);
    }
    aclError code = 0;
    if (::read(answer[0], &code, sizeof(code)) != sizeof(code)) throw std::runtime_error("read");
    return "closed=" + std::to_string(code);
  }

  static std::string Errno() { return " errno=" + std::to_string(errno); }

  using Command = std::function<std::string(std::istringstream&)>;
  Command Of(std::string (Program::*method)(std::istringstream&)) {
    return [this, method](std::istringstream& rest) { return (this->*method)(rest); };
  }

  void* block_ = nullptr;
  size_t bytes_ = 4 << 20;
  const std::map<std::string, Command> commands_ = {
      {"device", Of(&Program::Device)},
      {"malloc", Of(&Program::Malloc)},
      {"export", Of(&Program::Export)},
      {"export-locked", Of(&Program::ExportLocked)},
      {"tgid", Of(&Program::Tgid)},
      {"pid", [](std::istringstream&) { return "pid=" + std::to_string(::getpid()); }},
      {"allow", Of(&Program::Allow)},
      {"import", Of(&Program::Import)},
      {"write", Of(&Program::Write)},
      {"read", Of(&Program::Read)},
      {"close", Of(&Program::Close)},
      {"fork", Of(&Program::Fork)},
  };
};

}  // namespace

int main() {
  Program program;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream rest(line);
    std::string command;
    rest >> command;
    try {
      std::cout << "ok " << program.Do(command, rest) << std::endl;
    } catch (const Failure& failure) {
      std::cout << "error " << failure.code << " " << failure.call << " errno=" << errno
                << std::endl;
    } catch (const std::exception& wrong) {
      std::cout << "error WRONG " << wrong.what() << std::endl;
    }
  }
}
