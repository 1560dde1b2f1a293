/*
 * Device memory shared between processes by key.
 *
 * The exporter: GetExportKey, SetImportPid (host PIDs, the importer already running), Close, then
 * free. The importer: aclrtDeviceGetBareTgid, ImportByKey, Close. All need a current context.
 * Importers close first: a key that its exporter closes takes the pages away from importers.
 */
#ifndef NPU_IPC_SIM_ACL_RT_IPC_MEMORY_H_
#define NPU_IPC_SIM_ACL_RT_IPC_MEMORY_H_

#include "acl/acl_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ACL_RT_IPC_MEM_EXPORT_FLAG_DEFAULT 0x0UL
#define ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION 0x1UL
#define ACL_RT_IPC_MEM_IMPORT_FLAG_DEFAULT 0x0UL
#define ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS 0x1UL

#define ACL_RT_IPC_MEM_ATTR_ACCESS_LINK_SIO 0
#define ACL_RT_IPC_MEM_ATTR_ACCESS_LINK_HCCS 1

typedef enum {
  ACL_RT_IPC_MEM_ATTR_ACCESS_LINK = 0,
} aclrtIpcMemAttrType;

typedef struct {
  uint32_t sdid;
  int32_t* pid;
  size_t num;
} aclrtServerPid;

/* `len` at least 65: 64 printable characters and a NUL. `devPtr` on a page-table boundary of its
 * allocation. */
ACL_FUNC_VISIBILITY aclError aclrtIpcMemGetExportKey(void* devPtr, size_t size, char* key,
                                                     size_t len, uint64_t flags);
/* 1 to 31 host PIDs a call; calls append. The creator's process only. */
ACL_FUNC_VISIBILITY aclError aclrtIpcMemSetImportPid(const char* key, int32_t* pid, size_t num);
ACL_FUNC_VISIBILITY aclError aclrtIpcMemImportByKey(void** devPtr, const char* key, uint64_t flags);
/* In an importer: gives the mapping back. In the exporter: destroys the key. */
ACL_FUNC_VISIBILITY aclError aclrtIpcMemClose(const char* key);
/* The PID that the driver knows this process by: the host's. -1 with success when the driver does
 * not answer. */
ACL_FUNC_VISIBILITY aclError aclrtDeviceGetBareTgid(int32_t* pid);
ACL_FUNC_VISIBILITY aclError aclrtIpcMemSetAttr(const char* key, aclrtIpcMemAttrType type,
                                                uint64_t attr);
ACL_FUNC_VISIBILITY aclError aclrtIpcMemImportPidInterServer(const char* key,
                                                             aclrtServerPid* serverPids,
                                                             size_t num);

#ifdef __cplusplus
}
#endif

#endif
