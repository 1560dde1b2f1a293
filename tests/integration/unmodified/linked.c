/* A C program linked with -lascendcl; commands.txt says what it does. */
#include <acl/acl.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kKeyBytes = 65, kPrintedErrno = 42, kMaxPids = 4096 };

static void* block;
static size_t block_bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char locked_key[kKeyBytes];

static int Failed(aclError code, const char* call) {
  if (code == ACL_SUCCESS) return 0;
  printf("error %d %s errno=%d\n", code, call, errno);
  return 1;
}

static aclError Copy(void* to, const void* from, size_t bytes) {
  aclrtStream stream = NULL;
  aclError code = aclrtCreateStream(&stream);
  if (code != ACL_SUCCESS) return code;
  code = aclrtMemcpyAsync(to, bytes, from, bytes, ACL_MEMCPY_DEVICE_TO_DEVICE, stream);
  if (code == ACL_SUCCESS) code = aclrtSynchronizeStream(stream);
  aclrtDestroyStream(stream);
  return code;
}

static void Device(int device) {
  aclInit(NULL);
  if (!Failed(aclrtSetDevice(device), "aclrtSetDevice")) printf("ok\n");
}

static void Malloc(size_t bytes) {
  block_bytes = bytes;
  if (!Failed(aclrtMalloc(&block, bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc")) printf("ok\n");
}

static void Export(uint64_t flags) {
  char key[kKeyBytes] = {0};
  errno = kPrintedErrno;
  const aclError code = aclrtIpcMemGetExportKey(block, block_bytes, key, sizeof(key), flags);
  if (!Failed(code, "aclrtIpcMemGetExportKey")) printf("ok key=%s errno=%d\n", key, errno);
}

static void* SeeKey(void* seen) {
  pthread_mutex_lock(&lock);
  memcpy(seen, locked_key, kKeyBytes);
  pthread_mutex_unlock(&lock);
  return NULL;
}

static void ExportLocked(uint64_t flags) {
  char seen[kKeyBytes] = {0};
  pthread_t thread;
  pthread_mutex_lock(&lock);
  pthread_create(&thread, NULL, SeeKey, seen);
  errno = kPrintedErrno;
  const aclError code =
      aclrtIpcMemGetExportKey(block, block_bytes, locked_key, sizeof(locked_key), flags);
  const int after = errno;
  pthread_mutex_unlock(&lock);
  pthread_join(thread, NULL);
  if (!Failed(code, "aclrtIpcMemGetExportKey")) printf("ok key=%s errno=%d\n", seen, after);
}

static void Tgid(void) {
  int32_t pid = 0;
  if (!Failed(aclrtDeviceGetBareTgid(&pid), "aclrtDeviceGetBareTgid")) printf("ok pid=%d\n", pid);
}

static void Allow(const char* key, char* pids) {
  static int32_t list[kMaxPids];
  size_t count = 0;
  for (char* pid = strtok(pids, " "); pid != NULL; pid = strtok(NULL, " ")) {
    list[count++] = atoi(pid);
  }
  errno = kPrintedErrno;
  const aclError code = aclrtIpcMemSetImportPid(key, list, count);
  if (!Failed(code, "aclrtIpcMemSetImportPid")) printf("ok errno=%d\n", errno);
}

static void Import(const char* key, uint64_t flags) {
  errno = kPrintedErrno;
  const aclError code = aclrtIpcMemImportByKey(&block, key, flags);
  if (!Failed(code, "aclrtIpcMemImportByKey")) printf("ok errno=%d\n", errno);
}

static void Transfer(uint64_t* words, int write) {
  void* staging = NULL;
  aclError code = aclrtMalloc(&staging, block_bytes, ACL_MEM_MALLOC_HUGE_FIRST);
  if (write && code == ACL_SUCCESS) {
    code = aclrtMemcpy(staging, block_bytes, words, block_bytes, ACL_MEMCPY_HOST_TO_DEVICE);
  }
  if (code == ACL_SUCCESS) {
    code = write ? Copy(block, staging, block_bytes) : Copy(staging, block, block_bytes);
  }
  if (!write && code == ACL_SUCCESS) {
    code = aclrtMemcpy(words, block_bytes, staging, block_bytes, ACL_MEMCPY_DEVICE_TO_HOST);
  }
  aclrtFree(staging);
  if (Failed(code, "a copy")) return;
  int whole = 1;
  for (size_t i = 0; i < block_bytes / sizeof(*words); ++i) whole &= words[i] == words[0] + i;
  printf("ok whole=%s first_word=%llu\n", whole ? "yes" : "no", (unsigned long long)words[0]);
}

static void Write(uint64_t first_word) {
  uint64_t* const words = malloc(block_bytes);
  for (size_t i = 0; i < block_bytes / sizeof(*words); ++i) words[i] = first_word + i;
  Transfer(words, 1);
  free(words);
}

static void Read(void) {
  uint64_t* const words = calloc(1, block_bytes);
  Transfer(words, 0);
  free(words);
}

static void Close(const char* key) {
  errno = kPrintedErrno;
  const aclError code = aclrtIpcMemClose(key);
  if (!Failed(code, "aclrtIpcMemClose")) printf("ok errno=%d\n", errno);
}

static void Fork(const char* key) {
  int answer[2];
  if (pipe(answer) != 0) return;
  fflush(stdout);
  if (fork() == 0) {
    const aclError code = aclrtIpcMemClose(key);
    if (write(answer[1], &code, sizeof(code)) < 0) _exit(1);
    pause();
    _exit(0);
  }
  aclError code = 0;
  if (read(answer[0], &code, sizeof(code)) == sizeof(code)) printf("ok closed=%d\n", code);
}

int main(void) {
  static char line[1 << 16];
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof(line), stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    char* rest = line;
    const char* const command = strsep(&rest, " ");
    char* const first = rest == NULL ? NULL : strsep(&rest, " ");
    const uint64_t number = first == NULL ? 0 : strtoull(first, NULL, 10);
    if (strcmp(command, "device") == 0) Device((int)number);
    if (strcmp(command, "malloc") == 0) Malloc(number);
    if (strcmp(command, "export") == 0) Export(number);
    if (strcmp(command, "export-locked") == 0) ExportLocked(number);
    if (strcmp(command, "tgid") == 0) Tgid();
    if (strcmp(command, "pid") == 0) printf("ok pid=%d\n", getpid());
    if (strcmp(command, "allow") == 0) Allow(first, rest);
    if (strcmp(command, "import") == 0) {
      block_bytes = block_bytes == 0 ? 4 << 20 : block_bytes;
      Import(first, strtoull(rest, NULL, 10));
    }
    if (strcmp(command, "write") == 0) Write(number);
    if (strcmp(command, "read") == 0) Read();
    if (strcmp(command, "close") == 0) Close(first);
    if (strcmp(command, "fork") == 0) Fork(first);
  }
  return 0;
}
