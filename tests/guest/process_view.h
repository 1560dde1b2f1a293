/* What a process can see of itself that a library in it must leave alone. C, for any libc. */
#ifndef NPU_IPC_TESTS_GUEST_PROCESS_VIEW_H_
#define NPU_IPC_TESTS_GUEST_PROCESS_VIEW_H_

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { kMostDescriptors = 256 };

typedef struct ProcessView {
  mode_t umask_bits;
  ino_t working_directory;
  uint64_t environment; /* of its pointers and texts */
  char name[16];
  void* handlers[NSIG];
  sigset_t blocked;
  stack_t alternate_stack;
  struct rlimit limits[RLIM_NLIMITS];
  struct itimerval timers[3];
  int priority;
  int dumpable;
  int subreaper;
  ino_t descriptors[kMostDescriptors]; /* 0: closed */
  int descriptor_flags[kMostDescriptors];
  int threads;
} ProcessView;

extern char** environ;

static inline uint64_t HashEnvironment(void) {
  uint64_t hash = 14695981039346656037U;
  for (char** entry = environ; *entry != NULL; ++entry) {
    hash = (hash ^ (uintptr_t)*entry) * 1099511628211U;
    for (const char* at = *entry; *at != '\0'; ++at) {
      hash = (hash ^ (unsigned char)*at) * 1099511628211U;
    }
  }
  return hash;
}

static inline int CountThreads(void) {
  int count = 0;
  DIR* const tasks = opendir("/proc/self/task");
  if (tasks == NULL) return -1;
  for (struct dirent* entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
    count += entry->d_name[0] != '.';
  }
  closedir(tasks);
  return count;
}

static inline void ViewDescriptors(ProcessView* view) {
  for (int fd = 0; fd < kMostDescriptors; ++fd) {
    struct stat status;
    if (fstat(fd, &status) != 0) continue;
    view->descriptors[fd] = status.st_ino;
    view->descriptor_flags[fd] = fcntl(fd, F_GETFD) | fcntl(fd, F_GETFL) << 8;
  }
}

static inline void ViewProcess(ProcessView* view) {
  memset(view, 0, sizeof(*view)); /* padding, too: views are compared as bytes */
  view->umask_bits = umask(0);
  umask(view->umask_bits);
  struct stat status;
  if (stat(".", &status) == 0) view->working_directory = status.st_ino;
  view->environment = HashEnvironment();
  prctl(PR_GET_NAME, view->name);
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    if (sigaction(signal, NULL, &action) == 0) {
      view->handlers[signal] = (void*)(uintptr_t)action.sa_handler;
    }
  }
  sigprocmask(SIG_SETMASK, NULL, &view->blocked);
  sigaltstack(NULL, &view->alternate_stack);
  for (int limit = 0; limit < RLIM_NLIMITS; ++limit) getrlimit(limit, &view->limits[limit]);
  for (int timer = 0; timer < 3; ++timer) getitimer(timer, &view->timers[timer]);
  view->priority = getpriority(PRIO_PROCESS, 0);
  view->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_GET_CHILD_SUBREAPER, &view->subreaper, 0, 0, 0);
  ViewDescriptors(view);
  view->threads = CountThreads();
}

/* Names on stderr what differs; returns how much. */
static inline int CompareViews(const ProcessView* before, const ProcessView* after) {
  int differences = 0;
#define COMPARE(field)                                                \
  if (memcmp(&before->field, &after->field, sizeof(before->field))) { \
    fprintf(stderr, "changed: %s\n", #field);                         \
    ++differences;                                                    \
  }
  COMPARE(umask_bits)
  COMPARE(working_directory)
  COMPARE(environment)
  COMPARE(name)
  COMPARE(handlers)
  COMPARE(blocked)
  COMPARE(alternate_stack)
  COMPARE(limits)
  COMPARE(timers)
  COMPARE(priority)
  COMPARE(dumpable)
  COMPARE(subreaper)
  COMPARE(descriptors)
  COMPARE(descriptor_flags)
  COMPARE(threads)
#undef COMPARE
  return differences;
}

#endif /* NPU_IPC_TESTS_GUEST_PROCESS_VIEW_H_ */
