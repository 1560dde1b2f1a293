/*
 * npu_ipc.h: share Ascend NPU memory with other pods of this node.
 *
 * A pod takes part by annotation (npu-ipc.io/group: NAME). An exporter publishes device memory
 * under a name, an importer of the same group attaches to it and gets a device pointer to the same
 * memory. Host process ids, the driver's whitelist and peer access between cards are handled here
 * and by the node's broker.
 *
 * Conventions
 *  1. Every function returns an npu_ipc_status; outputs are written only on NPU_IPC_OK. None
 * throws, exits, aborts, prints, installs a handler or waits longer than its caller allowed.
 *  2. Objects are opaque and belong to the caller until the function that ends them (close,
 * withdraw, detach, unsubscribe). Names that are passed in are copied.
 *  3. All functions may be called from any thread, concurrently, except that ending an object must
 * not race with another call on the same object.
 *  4. After fork() the child's objects are dead: every call on them returns NPU_IPC_WRONG_PROCESS,
 * and npu_ipc_close only frees. Open again in the child. Device memory does not survive a fork
 * either.
 *  5. Structs start with their size, set by the caller (`sizeof`): fields may be added at the end.
 *  6. Times are milliseconds; NPU_IPC_FOREVER waits without end. Sizes are bytes. Devices are
 * physical ids (N of /dev/davinciN), as two containers number their devices differently.
 *  7. Vendor calls are made on the calling thread in publish, attach, detach and withdraw, and need
 * its current context (aclrtSetDevice or aclrtSetCurrentContext). Whitelisting, and renewing a key
 * that somebody lost the right to, run on the library's one thread, with the context that publish
 * captured.
 *  8. The vendor's library must be loaded by the program itself, in whatever way: this one never
 * loads it.
 *  9. A broker that is restarted costs nothing: mappings go on, and the library's thread connects
 * again in the background (EVENT_DISCONNECTED, EVENT_RECONNECTED) and tells it what this process
 * shares. Regions stay published under their names and generations. One is lost (EVENT_REGION_LOST)
 * only where somebody else has taken its name meanwhile, where this pod may not share it any more,
 * or where the broker is older than this library. Calls that are under way go on when it is back.
 */
#ifndef NPU_IPC_H_
#define NPU_IPC_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define NPU_IPC_NOEXCEPT noexcept
extern "C" {
#else
#define NPU_IPC_NOEXCEPT
#endif

#if defined(NPU_IPC_BUILDING_LIBRARY)
#define NPU_IPC_API __attribute__((visibility("default")))
#else
#define NPU_IPC_API
#endif

#define NPU_IPC_VERSION_MAJOR 0
#define NPU_IPC_VERSION_MINOR 1
#define NPU_IPC_VERSION_PATCH 0

#define NPU_IPC_FOREVER UINT32_MAX

/* Values are fixed for ever. 1 to 63 come from the broker, 64 and up from the library. */
typedef enum npu_ipc_status {
  NPU_IPC_OK = 0,
  NPU_IPC_MALFORMED = 1,        /* broker and library disagree on a message: report it */
  NPU_IPC_VERSION_MISMATCH = 2, /* the broker speaks another major version */
  NPU_IPC_NOT_IN_POD = 3,       /* this process' cgroup names no pod */
  NPU_IPC_UNKNOWN_POD = 4,      /* the broker does not know this pod (yet) */
  NPU_IPC_NO_GROUP = 5,         /* this pod has no npu-ipc.io/group annotation */
  NPU_IPC_BAD_ANNOTATION = 6,   /* an annotation of this pod has a value that is not accepted */
  NPU_IPC_NOT_IN_GROUP = 7,     /* this pod is not a member of that group */
  NPU_IPC_ROLE_DENIED = 8,      /* this pod's role in the group does not allow it */
  NPU_IPC_NAME_TAKEN = 9,       /* a live exporter holds the name */
  NPU_IPC_NOT_FOUND = 10,       /* no such region */
  NPU_IPC_TIMED_OUT = 11,       /* the wait has ended; see the last error for what was missing */
  NPU_IPC_EXPORTER_GONE = 12,   /* the exporter ended or withdrew meanwhile */
  NPU_IPC_EXPORTER_FAILED = 13, /* the exporter could not whitelist this process */
  NPU_IPC_LIMIT = 14,           /* too many of something; the last error says of what */
  NPU_IPC_UNSUPPORTED = 15,     /* not supported (yet) */
  NPU_IPC_RECONNECT = 16,       /* internal; never returned */
  NPU_IPC_SHUTTING_DOWN = 17,   /* the broker is going; try again */
  NPU_IPC_UNREACHABLE = 18,     /* the two devices cannot reach each other */
  NPU_IPC_STILL_HELD = 19,      /* importers had not closed when the drain time ended */
  NPU_IPC_PEER_LIMIT = 20,      /* 32 processes already use this pair of devices */
  NPU_IPC_INTERNAL = 21,
  NPU_IPC_POLICY_DENIED = 22,      /* the cluster's policy forbids it */
  NPU_IPC_NAMESPACE_DENIED = 23,   /* the other namespace has not given its leave */
  NPU_IPC_QUOTA_EXCEEDED = 24,     /* a byte limit of the pod, its annotation, or the node */
  NPU_IPC_CLAIM_CONTRADICTED = 25, /* the driver's own records say otherwise than this process */
  NPU_IPC_INVALID_ARGUMENT =
      64, /* a null, a zero, an unaligned pointer, a name too long: see the last error */
  NPU_IPC_NO_BROKER = 65,         /* no broker at the socket within the wait */
  NPU_IPC_NO_VENDOR_LIBRARY = 66, /* AscendCL is not loaded in this process, or lacks a function */
  NPU_IPC_VENDOR_ERROR = 67,      /* a vendor call failed; npu_ipc_last_vendor_code has its code */
  NPU_IPC_WRONG_PROCESS = 68,     /* the object was made before a fork */
  NPU_IPC_NO_MEMORY = 69,         /* the host is out of memory, threads or descriptors */
  NPU_IPC_DISCONNECTED = 70,      /* the broker went away during the call; try again */
  NPU_IPC_NO_EVENT = 71           /* no event came within the wait */
} npu_ipc_status;

typedef struct npu_ipc_client npu_ipc_client;             /* a connection to the node's broker */
typedef struct npu_ipc_region npu_ipc_region;             /* memory that this process published */
typedef struct npu_ipc_mapping npu_ipc_mapping;           /* memory that this process attached to */
typedef struct npu_ipc_subscription npu_ipc_subscription; /* names that it is told of */

/* The status as a constant's name ("NPU_IPC_NO_GROUP") and as a sentence; never NULL, static. */
NPU_IPC_API const char* npu_ipc_status_name(npu_ipc_status status) NPU_IPC_NOEXCEPT;
NPU_IPC_API const char* npu_ipc_status_string(npu_ipc_status status) NPU_IPC_NOEXCEPT;
/* "0.1.0" of the library that is loaded. */
NPU_IPC_API const char* npu_ipc_version(void) NPU_IPC_NOEXCEPT;

/* What the last failed call on this client said, in words (the broker's own reason included),
 * copied into `text` and cut to `bytes` with its NUL. Shared by the client's threads: read it
 * before the next call. */
NPU_IPC_API npu_ipc_status npu_ipc_last_error(npu_ipc_client* client, char* text,
                                              size_t bytes) NPU_IPC_NOEXCEPT;
/* The aclError of the last vendor call that failed on this client, in this process or the
 * exporter's; 0: none. */
NPU_IPC_API int32_t npu_ipc_last_vendor_code(npu_ipc_client* client) NPU_IPC_NOEXCEPT;

typedef struct npu_ipc_open_options {
  size_t struct_bytes;
  const char* socket_path; /* NULL: $NPU_IPC_SOCKET, else /run/npu-ipc/broker.sock */
  uint32_t timeout_ms;     /* for the broker to answer; 0: 5000 */
} npu_ipc_open_options;

/* Connects to the node's broker and is identified by it. No thread is started. `options` may be
 * NULL. The client is made also where the broker refuses the pod or is away, so that
 * npu_ipc_last_error can say why: *client is then set beside a status that is not NPU_IPC_OK, good
 * only for that and for npu_ipc_close; it is NULL on NPU_IPC_INVALID_ARGUMENT and
 * NPU_IPC_NO_MEMORY. NO_BROKER, NOT_IN_POD, UNKNOWN_POD, NO_GROUP, BAD_ANNOTATION,
 * VERSION_MISMATCH, LIMIT. */
NPU_IPC_API npu_ipc_status npu_ipc_open(const npu_ipc_open_options* options,
                                        npu_ipc_client** client) NPU_IPC_NOEXCEPT;
/* Ends the client, and every region, mapping and subscription object of it. Its published regions
 * are withdrawn without waiting for importers, and mappings that were not detached stay mapped
 * until the process ends: detach and withdraw first. Waits for the library's thread to end, at most
 * the open timeout. NULL is ignored. */
NPU_IPC_API void npu_ipc_close(npu_ipc_client* client) NPU_IPC_NOEXCEPT;

typedef struct npu_ipc_identity {
  size_t struct_bytes;
  int32_t pid;      /* as this process sees itself */
  int32_t host_pid; /* as the kernel told the broker */
  char pod_namespace[64];
  char pod_name[256];
  char pod_uid[64];
  char container_id[80];
  char container_name[64];
  char groups[256]; /* "name:role,name:role" */
} npu_ipc_identity;

/* Who the broker says this process is; does not ask again. */
NPU_IPC_API npu_ipc_status npu_ipc_whoami(npu_ipc_client* client,
                                          npu_ipc_identity* identity) NPU_IPC_NOEXCEPT;

typedef struct npu_ipc_publish_options {
  size_t struct_bytes;
  const char* group;  /* NULL: the pod's only group */
  size_t view_offset; /* the region within [devPtr, devPtr + bytes): default the whole */
  size_t view_bytes;  /* 0: to the end */
} npu_ipc_publish_options;

/* Exports [dev_ptr, dev_ptr + bytes) and publishes it under `name`. The memory must be a whole
 * allocation: a device pointer as aclrtMalloc gave it, aligned to a page table entry (2 MiB with
 * HUGE_FIRST, else 4 KiB); every importer can reach all of it, not only the view. One key is made
 * for an allocation, however many names it has. The memory must stay allocated until withdraw
 * returns, and the calling thread's context, with which importers are let in: destroying it ends
 * the region (EVENT_REGION_LOST). Waits at most the open timeout. NAME_TAKEN, ROLE_DENIED,
 * NOT_IN_GROUP, LIMIT, NO_BROKER, TIMED_OUT, VENDOR_ERROR, NO_VENDOR_LIBRARY, INVALID_ARGUMENT
 * (also where the allocation is published already with another size). */
NPU_IPC_API npu_ipc_status npu_ipc_publish(npu_ipc_client* client, const char* name, void* dev_ptr,
                                           size_t bytes, const npu_ipc_publish_options* options,
                                           npu_ipc_region** region) NPU_IPC_NOEXCEPT;

typedef struct npu_ipc_region_info {
  size_t struct_bytes;
  uint64_t generation; /* higher each time it is published, and each time its key is renewed */
  uint32_t device;     /* physical id */
  int32_t withdrawn;   /* 1: lets nobody new in: withdraw was called, or it is lost */
} npu_ipc_region_info;
NPU_IPC_API npu_ipc_status npu_ipc_region_get_info(npu_ipc_region* region,
                                                   npu_ipc_region_info* info) NPU_IPC_NOEXCEPT;

/* Takes the region back: importers are told, the call waits up to `drain_ms` for them to detach
 * (and at most the open timeout longer for the broker's answer), then closes the export and frees
 * `region`. Where the allocation has other names, only this name ends. The region is kept, and
 * withdraw may be called again, on
 *   STILL_HELD: importers had not detached; the last error names them;
 *   DISCONNECTED, TIMED_OUT: the broker is away or does not know the region, or does not answer;
 *   VENDOR_ERROR with vendor code 107002: the calling thread has no context.
 * With `force` non-zero the first two close the export all the same: the driver then pulls the
 * pages away and the importers' next access fails on the device. Any other VENDOR_ERROR: the
 * vendor's close failed; `region` is freed. */
NPU_IPC_API npu_ipc_status npu_ipc_withdraw(npu_ipc_region* region, uint32_t drain_ms,
                                            int force) NPU_IPC_NOEXCEPT;

typedef struct npu_ipc_attach_options {
  size_t struct_bytes;
  const char* group; /* NULL: the pod's only group */
  uint32_t wait_ms;  /* for the region to be published and the exporter to answer; 0: 10000 */
} npu_ipc_attach_options;

/* Attaches to the region `name` of the group, on the device of the calling thread's context. Waits
 * until it is published. The pointer reaches the same memory as the exporter's: no copy is made.
 * TIMED_OUT (no exporter on this node, or it did not answer), ROLE_DENIED, NOT_IN_GROUP,
 * EXPORTER_GONE, EXPORTER_FAILED, UNREACHABLE, PEER_LIMIT, NO_BROKER, VENDOR_ERROR,
 * NO_VENDOR_LIBRARY. Each attach is a mapping of its own, also of the same region: detach each. */
NPU_IPC_API npu_ipc_status npu_ipc_attach(npu_ipc_client* client, const char* name,
                                          const npu_ipc_attach_options* options,
                                          npu_ipc_mapping** mapping) NPU_IPC_NOEXCEPT;

typedef enum npu_ipc_mapping_state {
  NPU_IPC_MAPPING_LIVE = 0,
  NPU_IPC_MAPPING_WITHDRAWING = 1,   /* the exporter wants it back: detach */
  NPU_IPC_MAPPING_EXPORTER_GONE = 2, /* dead: every access fails on the device; detach */
  NPU_IPC_MAPPING_REVOKED = 3,       /* the right to it was taken back: detach */
  NPU_IPC_MAPPING_ROTATED = 4        /* its key is renewed, after a drain time of some seconds, and
                                        the mapping dies: detach, then attach again */
} npu_ipc_mapping_state;

typedef struct npu_ipc_mapping_info {
  size_t struct_bytes;
  void* dev_ptr; /* the view's first byte */
  size_t bytes;  /* of the view */
  uint64_t generation;
  npu_ipc_mapping_state state;
  uint32_t device;          /* the importing device, physical id */
  uint32_t exporter_device; /* physical id. Where it differs: asynchronous device-to-device copies
                               and kernels only */
  int32_t exporter_host_pid;
  char exporter_namespace[64];
  char exporter_pod[256];
  char exporter_pod_uid[64];
} npu_ipc_mapping_info;
NPU_IPC_API npu_ipc_status npu_ipc_mapping_get_info(npu_ipc_mapping* mapping,
                                                    npu_ipc_mapping_info* info) NPU_IPC_NOEXCEPT;

/* Closes the mapping and frees `mapping`: no copy or kernel may use the pointer any more. The
 * library never does this by itself, and it needs no broker. VENDOR_ERROR: the vendor's close
 * failed; `mapping` is freed all the same, but for vendor code 107002: the calling thread has no
 * context. */
NPU_IPC_API npu_ipc_status npu_ipc_detach(npu_ipc_mapping* mapping) NPU_IPC_NOEXCEPT;

typedef enum npu_ipc_event_type {
  NPU_IPC_EVENT_WITHDRAWING = 1, /* a mapping's exporter wants it back */
  NPU_IPC_EVENT_EXPORTER_GONE = 2,
  NPU_IPC_EVENT_REVOKED = 3,
  NPU_IPC_EVENT_REGION_LOST = 4,  /* a region of ours is no longer published */
  NPU_IPC_EVENT_DISCONNECTED = 5, /* the broker went away; mappings go on working */
  NPU_IPC_EVENT_RECONNECTED = 6,  /* it is back and knows again what this client shares */
  NPU_IPC_EVENT_ROTATED = 7,      /* a mapping's key is renewed: detach, then attach again */
  NPU_IPC_EVENT_SUBSCRIPTION = 8  /* changes wait: npu_ipc_subscription_next until NO_EVENT */
} npu_ipc_event_type;

typedef struct npu_ipc_event {
  size_t struct_bytes;
  npu_ipc_event_type type;
  npu_ipc_mapping* mapping;           /* or NULL */
  npu_ipc_region* region;             /* or NULL */
  npu_ipc_subscription* subscription; /* or NULL */
} npu_ipc_event;

/* A region that is published, as any member of its group may know it. */
typedef struct npu_ipc_region_description {
  size_t struct_bytes;
  char group[128]; /* as this pod names it */
  char name[128];
  uint64_t generation;
  size_t allocation_bytes;  /* what an importer can reach */
  size_t bytes;             /* of the view */
  uint32_t exporter_device; /* physical id */
  int32_t exporter_host_pid;
  uint32_t importers; /* mappings at that moment */
  char exporter_namespace[64];
  char exporter_pod[256];
  char exporter_pod_uid[64];
} npu_ipc_region_description;

typedef struct npu_ipc_list_options {
  size_t struct_bytes;
  const char* group;  /* NULL: the pod's only group */
  const char* prefix; /* NULL: every name */
  const char* after;  /* NULL: from the first */
} npu_ipc_list_options;

/* The first region of the group, in the order of the bytes of names, whose name begins with
 * `prefix` and comes after `after`: call it again with `after` the name that came, until NOT_FOUND.
 * Regions that come or go meanwhile may be missed; npu_ipc_subscribe misses none. `options` may be
 * NULL. Waits at most the open timeout. NOT_FOUND, NOT_IN_GROUP, UNSUPPORTED (an older broker),
 * NO_BROKER, TIMED_OUT. */
NPU_IPC_API npu_ipc_status npu_ipc_list(npu_ipc_client* client, const npu_ipc_list_options* options,
                                        npu_ipc_region_description* region) NPU_IPC_NOEXCEPT;

typedef struct npu_ipc_subscribe_options {
  size_t struct_bytes;
  const char* group;   /* NULL: the pod's only group */
  const char* prefix;  /* NULL: every name */
  int32_t admit_ahead; /* 1: exporters whitelist this process at once, for the device of the calling
                           thread, so that a later attach need not wait for them. The driver's list
                           of a key is never shortened: ask for what will be attached to */
  uint32_t max_waiting; /* names that have changes which are not read yet; 0: 4096 */
} npu_ipc_subscribe_options;

/* Subscribes to the names of a group that begin with `prefix`: those that are there and those that
 * come. `options` may be NULL. The subscription outlives a restart of the broker. Waits at most the
 * open timeout. NOT_IN_GROUP, ROLE_DENIED, LIMIT, UNSUPPORTED (an older broker), NO_BROKER,
 * TIMED_OUT; with admit_ahead VENDOR_ERROR and NO_VENDOR_LIBRARY. */
NPU_IPC_API npu_ipc_status npu_ipc_subscribe(npu_ipc_client* client,
                                             const npu_ipc_subscribe_options* options,
                                             npu_ipc_subscription** subscription) NPU_IPC_NOEXCEPT;

typedef enum npu_ipc_change {
  NPU_IPC_CHANGE_PUBLISHED = 1, /* it is there (again, with a higher generation) */
  NPU_IPC_CHANGE_ADMITTED = 2, /* it is there, and an attach to it need not wait for its exporter */
  NPU_IPC_CHANGE_GONE = 3,     /* only group, name and (unless 0) generation are set */
  NPU_IPC_CHANGE_RESET = 4 /* forget all that was told: it is told from the start. The broker was
                                   away, or more than max_waiting names had changed */
} npu_ipc_change;

/* The next change; waits up to `timeout_ms`, NO_EVENT when none came. Of one name only the latest
 * state waits: GONE may be told of a name that was never PUBLISHED, and a name that went and came
 * back is PUBLISHED twice. EVENT_SUBSCRIPTION, and with it npu_ipc_event_fd, tells that something
 * waits. */
NPU_IPC_API npu_ipc_status npu_ipc_subscription_next(
    npu_ipc_subscription* subscription, uint32_t timeout_ms, npu_ipc_change* change,
    npu_ipc_region_description* region) NPU_IPC_NOEXCEPT;

/* Ends and frees the subscription. What was admitted ahead stays on the driver's lists. */
NPU_IPC_API npu_ipc_status npu_ipc_unsubscribe(npu_ipc_subscription* subscription) NPU_IPC_NOEXCEPT;

/* The next event of this client, oldest first; waits up to `timeout_ms`. NO_EVENT when none came.
 * Of one mapping or region only the latest event waits, and none once it has ended. */
NPU_IPC_API npu_ipc_status npu_ipc_next_event(npu_ipc_client* client, uint32_t timeout_ms,
                                              npu_ipc_event* event) NPU_IPC_NOEXCEPT;
/* A descriptor that is readable while an event waits, for poll(2); the client's: do not read or
 * close it. -1 if it could not be made. */
NPU_IPC_API int npu_ipc_event_fd(npu_ipc_client* client) NPU_IPC_NOEXCEPT;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* NPU_IPC_H_ */
