/*
 * A host: a program in C that loads libnpu_ipc.so as a plug-in would, shares memory through it, and
 * checks what the library has done to its process. One source for every libc; AscendCL is stood in
 * for by functions of its own, which the library finds as it finds the real ones.
 *
 *   host_program LIBRARY SOCKET COMMAND...   COMMAND runs this program (an emulator may be needed)
 *   host_program descriptors                 fails when a socket or a pipe was inherited
 *
 * The broker at SOCKET (host_test.cc) knows the order of the requests. Exit code 0 and not a word:
 * all is well.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "runtime/include/npu_ipc.h"
#include "tests/guest/process_view.h"

#define REQUIRE(condition)                                                                 \
  if (!(condition)) {                                                                      \
    fprintf(stderr, "line %d: %s does not hold; %s\n", __LINE__, #condition, LastError()); \
    _exit(1);                                                                              \
  }

#define FUNCTIONS(DO)          \
  DO(npu_ipc_open)             \
  DO(npu_ipc_close)            \
  DO(npu_ipc_whoami)           \
  DO(npu_ipc_publish)          \
  DO(npu_ipc_withdraw)         \
  DO(npu_ipc_attach)           \
  DO(npu_ipc_mapping_get_info) \
  DO(npu_ipc_detach)           \
  DO(npu_ipc_event_fd)         \
  DO(npu_ipc_last_error)

#define DECLARE(name) __typeof__(&name) name;
static struct { FUNCTIONS(DECLARE) } library;

static npu_ipc_client* client;
static const uint32_t kSecond = 1000;
static void* const kMemory = (void*)0x100000200000;
static const size_t kBytes = 8 << 20;

static const char* LastError(void) {
  static char text[512];
  text[0] = '\0';
  if (client != NULL) library.npu_ipc_last_error(client, text, sizeof(text));
  return text;
}

/* AscendCL, as far as the library asks. */
#define VENDOR __attribute__((visibility("default"), used))
static void* const kContext = (void*)0xC0117E87;
static int imports, exports, admitted;
static pthread_t whitelisted_by;

VENDOR int aclrtGetCurrentContext(void** context) { return *context = kContext, 0; }
VENDOR int aclrtSetCurrentContext(void* context) { return context == kContext ? 0 : 107000; }
VENDOR int aclrtGetDevice(int32_t* device) { return *device = 0, 0; }
VENDOR int rtGetDevicePhyIdByIndex(uint32_t index, uint32_t* physical) {
  return *physical = index + 6, 0;
}
VENDOR int aclrtIpcMemGetExportKey(void* pointer, size_t bytes, char* key, size_t key_bytes,
                                   uint64_t flags) {
  (void)bytes, (void)flags;
  ++exports;
  memset(key, 'e', key_bytes - 1);
  key[key_bytes - 1] = '\0';
  return pointer == kMemory ? 0 : 107000;
}
VENDOR int aclrtIpcMemSetImportPid(const char* key, int32_t* pids, size_t count) {
  whitelisted_by = pthread_self();
  __atomic_store_n(&admitted, count == 1 && key[0] == 'e' ? pids[0] : -1, __ATOMIC_RELEASE);
  return 0;
}
VENDOR int aclrtIpcMemImportByKey(void** pointer, const char* key, uint64_t flags) {
  ++imports;
  *pointer = (void*)0x120000000000;
  return key[0] == 'k' && flags == 0 ? 0 : 107000;
}
VENDOR int aclrtIpcMemClose(const char* key) {
  if (key[0] == 'k') {
    --imports;
  } else {
    --exports;
  }
  return 0;
}

static void Load(const char* path) {
  void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    _exit(1);
  }
#define FIND(name) REQUIRE((library.name = (__typeof__(&name))dlsym(handle, #name)) != NULL);
  FUNCTIONS(FIND)
  /* A plug-in host that lets go of it: the library stays, as its thread needs its code. */
  REQUIRE(dlclose(handle) == 0);
}

static npu_ipc_status Open(const char* socket, uint32_t timeout_ms, npu_ipc_client** opened) {
  npu_ipc_open_options options = {.struct_bytes = sizeof(options)};
  options.socket_path = socket;
  options.timeout_ms = timeout_ms;
  return library.npu_ipc_open(&options, opened);
}

/* All that a forked child does: the parent's client is not its, and it may ask for its own. */
static void BeAChild(void) {
  npu_ipc_identity identity = {.struct_bytes = sizeof(identity)};
  npu_ipc_client* own = NULL;
  const int told = library.npu_ipc_whoami(client, &identity) == NPU_IPC_WRONG_PROCESS;
  const int asked = Open("/nonexistent/broker.sock", 1, &own) == NPU_IPC_NO_BROKER;
  library.npu_ipc_close(own);
  library.npu_ipc_close(client);
  _exit(told && asked ? 0 : 1);
}

static int Succeeded(pid_t child) {
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

static void MakeChildren(char** command) {
  pid_t child = fork();
  if (child == 0) BeAChild();
  REQUIRE(Succeeded(child));
  /* Past libc: no pthread_atfork handler runs. */
  child = (pid_t)syscall(SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, 0L);
  if (child == 0) BeAChild();
  REQUIRE(Succeeded(child));
  child = vfork();
  if (child == 0) {
    execvp(command[0], command);
    _exit(127);
  }
  REQUIRE(Succeeded(child));
}

/* A signal for the process, which this thread waits for, is not the library's thread's. */
static void WaitForASignal(void) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &before);
  REQUIRE(kill(getpid(), SIGUSR1) == 0);
  const struct timespec limit = {.tv_sec = 10};
  REQUIRE(sigtimedwait(&set, NULL, &limit) == SIGUSR1);
  sigprocmask(SIG_SETMASK, &before, NULL);
}

static void Share(char** command) {
  npu_ipc_region* region = NULL;
  REQUIRE(library.npu_ipc_publish(client, "r", kMemory, kBytes, NULL, &region) == NPU_IPC_OK);
  REQUIRE(exports == 1);
  npu_ipc_attach_options options = {.struct_bytes = sizeof(options), .wait_ms = 30 * kSecond};
  npu_ipc_mapping* mapping = NULL;
  REQUIRE(library.npu_ipc_attach(client, "m", &options, &mapping) == NPU_IPC_OK);
  /* The broker let somebody in before it answered. */
  REQUIRE(__atomic_load_n(&admitted, __ATOMIC_ACQUIRE) == 8001);
  REQUIRE(!pthread_equal(whitelisted_by, pthread_self()));
  REQUIRE(library.npu_ipc_event_fd(client) > 2);
  WaitForASignal();
  MakeChildren(command);
  npu_ipc_mapping_info info = {.struct_bytes = sizeof(info)};
  REQUIRE(library.npu_ipc_mapping_get_info(mapping, &info) == NPU_IPC_OK);
  REQUIRE(info.state == NPU_IPC_MAPPING_LIVE && info.bytes == kBytes);
  REQUIRE(library.npu_ipc_detach(mapping) == NPU_IPC_OK);
  REQUIRE(imports == 0);
  REQUIRE(library.npu_ipc_withdraw(region, 10 * kSecond, 0) == NPU_IPC_OK);
  REQUIRE(exports == 0);
}

/* The library's thread takes a moment to be gone from /proc. */
static void AwaitThreads(int count) {
  for (int i = 0; i < 10000 && CountThreads() != count; ++i) {
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
  }
}

static int CheckDescriptors(void) {
  int inherited = 0;
  for (int fd = 3; fd < kMostDescriptors; ++fd) {
    struct stat status;
    if (fstat(fd, &status) != 0) continue;
    if (!S_ISSOCK(status.st_mode) && !S_ISFIFO(status.st_mode)) continue;
    fprintf(stderr, "descriptor %d was inherited\n", fd);
    ++inherited;
  }
  return inherited != 0;
}

static void* DoNothing(void* nothing) { return nothing; }

int main(int count, char** arguments) {
  if (count == 2) return CheckDescriptors();
  if (count < 4) return 2;
  /* What was inherited is not handed on: all that is, is the library's. */
  for (int fd = 3; fd < kMostDescriptors; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
  /* Whatever libc and an emulator do at the first thread is theirs. */
  const int threads = CountThreads();
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, DoNothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
  AwaitThreads(threads);
  umask(027);
  static ProcessView before, loaded, shared, closed;
  ViewProcess(&before);
  Load(arguments[1]);
  ViewProcess(&loaded);
  REQUIRE(CompareViews(&before, &loaded) == 0);

  errno = 1234;
  REQUIRE(Open("/nonexistent/broker.sock", 1, &client) == NPU_IPC_NO_BROKER);
  library.npu_ipc_close(client);
  client = NULL;
  REQUIRE(errno == 1234);
  ViewProcess(&shared);
  REQUIRE(CompareViews(&before, &shared) == 0);

  errno = 1235;
  REQUIRE(Open(arguments[2], 30 * kSecond, &client) == NPU_IPC_OK);
  REQUIRE(errno == 1235);
  Share(arguments + 3);
  library.npu_ipc_close(client);
  client = NULL;
  AwaitThreads(before.threads);
  ViewProcess(&closed);
  REQUIRE(CompareViews(&before, &closed) == 0);

  /* Another program in its place, while a client is open: nothing of it is left. */
  REQUIRE(Open(arguments[2], 30 * kSecond, &client) == NPU_IPC_OK);
  execvp(arguments[3], arguments + 3);
  return 1;
}
