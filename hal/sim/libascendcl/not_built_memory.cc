// Memory and interprocess functions that the simulator does not build: 207000 each.
#include "acl/acl.h"
#include "hal/sim/libruntime/interface.h"

using npu_ipc::sim::rt::NotBuilt;

aclError aclrtGetMemUceInfo(int32_t, aclrtMemUceInfo*, size_t, size_t*) {
  return NotBuilt(__func__);
}

aclError aclrtGetMemUsageInfo(int32_t, aclrtMemUsageInfo*, size_t, size_t*) {
  return NotBuilt(__func__);
}

aclError aclrtMallocForTaskScheduler(void**, size_t, aclrtMemMallocPolicy, aclrtMallocConfig*) {
  return NotBuilt(__func__);
}

aclError aclrtMemUceRepair(int32_t, aclrtMemUceInfo*, size_t) { return NotBuilt(__func__); }

aclError aclrtMemcpyAsyncWithOffset(void**, size_t, size_t, const void**, size_t, size_t,
                                    aclrtMemcpyKind, aclrtStream) {
  return NotBuilt(__func__);
}

aclError aclrtMemcpyBatch(void**, size_t*, void**, size_t*, size_t, aclrtMemcpyBatchAttr*, size_t*,
                          size_t, size_t*) {
  return NotBuilt(__func__);
}

aclError aclrtMemcpyBatchAsync(void**, size_t*, void**, size_t*, size_t, aclrtMemcpyBatchAttr*,
                               size_t*, size_t, size_t*, aclrtStream) {
  return NotBuilt(__func__);
}

aclError aclrtIpcMemImportPidInterServer(const char*, aclrtServerPid*, size_t) {
  return NotBuilt(__func__);
}

aclError aclrtIpcMemSetAttr(const char*, aclrtIpcMemAttrType, uint64_t) {
  return NotBuilt(__func__);
}

aclError aclrtFreePhysical(aclrtDrvMemHandle) { return NotBuilt(__func__); }

aclError aclrtMallocPhysical(aclrtDrvMemHandle*, size_t, const aclrtPhysicalMemProp*, uint64_t) {
  return NotBuilt(__func__);
}

aclError aclrtMapMem(void*, size_t, size_t, aclrtDrvMemHandle, uint64_t) {
  return NotBuilt(__func__);
}

aclError aclrtMemExportToShareableHandle(aclrtDrvMemHandle, aclrtMemHandleType, uint64_t,
                                         uint64_t*) {
  return NotBuilt(__func__);
}

aclError aclrtMemExportToShareableHandleV2(aclrtDrvMemHandle, uint64_t, aclrtMemSharedHandleType,
                                           void*) {
  return NotBuilt(__func__);
}

aclError aclrtMemGetAddressRange(void*, void**, size_t*) { return NotBuilt(__func__); }

aclError aclrtMemGetAllocationGranularity(aclrtPhysicalMemProp*, aclrtMemGranularityOptions,
                                          size_t*) {
  return NotBuilt(__func__);
}

aclError aclrtMemImportFromShareableHandle(uint64_t, int32_t, aclrtDrvMemHandle*) {
  return NotBuilt(__func__);
}

aclError aclrtMemImportFromShareableHandleV2(void*, aclrtMemSharedHandleType, uint64_t,
                                             aclrtDrvMemHandle*) {
  return NotBuilt(__func__);
}

aclError aclrtMemRetainAllocationHandle(void*, aclrtDrvMemHandle*) { return NotBuilt(__func__); }

aclError aclrtMemSetAccess(void*, size_t, aclrtMemAccessDesc*, size_t) {
  return NotBuilt(__func__);
}

aclError aclrtMemSetPidToShareableHandle(uint64_t, int32_t*, size_t) { return NotBuilt(__func__); }

aclError aclrtMemSetPidToShareableHandleV2(void*, aclrtMemSharedHandleType, int32_t*, size_t) {
  return NotBuilt(__func__);
}

aclError aclrtReleaseMemAddress(void*) { return NotBuilt(__func__); }

aclError aclrtReserveMemAddress(void**, size_t, size_t, void*, uint64_t) {
  return NotBuilt(__func__);
}

aclError aclrtReserveMemAddressNoUCMemory(void**, size_t, size_t, void*, uint64_t) {
  return NotBuilt(__func__);
}

aclError aclrtUnmapMem(void*) { return NotBuilt(__func__); }

aclError aclrtIpcGetEventHandle(aclrtEvent, aclrtIpcEventHandle*) { return NotBuilt(__func__); }

aclError aclrtIpcOpenEventHandle(aclrtIpcEventHandle, aclrtEvent*) { return NotBuilt(__func__); }

aclError aclrtCntNotifyCreate(aclrtCntNotify*, uint64_t) { return NotBuilt(__func__); }

aclError aclrtCntNotifyDestroy(aclrtCntNotify) { return NotBuilt(__func__); }

aclError aclrtCntNotifyGetId(aclrtCntNotify, uint32_t*) { return NotBuilt(__func__); }

aclError aclrtCntNotifyRecord(aclrtCntNotify, aclrtStream, aclrtCntNotifyRecordInfo*) {
  return NotBuilt(__func__);
}

aclError aclrtCntNotifyWaitWithTimeout(aclrtCntNotify, aclrtStream, aclrtCntNotifyWaitInfo*) {
  return NotBuilt(__func__);
}

aclError aclrtCreateNotify(aclrtNotify*, uint64_t) { return NotBuilt(__func__); }

aclError aclrtDestroyNotify(aclrtNotify) { return NotBuilt(__func__); }

aclError aclrtGetNotifyId(aclrtNotify, uint32_t*) { return NotBuilt(__func__); }

aclError aclrtNotifyBatchReset(aclrtNotify*, size_t) { return NotBuilt(__func__); }

aclError aclrtNotifyGetExportKey(aclrtNotify, char*, size_t, uint64_t) {
  return NotBuilt(__func__);
}

aclError aclrtNotifyImportByKey(aclrtNotify*, const char*, uint64_t) { return NotBuilt(__func__); }

aclError aclrtNotifySetImportPid(aclrtNotify, int32_t*, size_t) { return NotBuilt(__func__); }

aclError aclrtNotifySetImportPidInterServer(aclrtNotify, aclrtServerPid*, size_t) {
  return NotBuilt(__func__);
}

aclError aclrtRecordNotify(aclrtNotify, aclrtStream) { return NotBuilt(__func__); }

aclError aclrtWaitAndResetNotify(aclrtNotify, aclrtStream, uint32_t) { return NotBuilt(__func__); }
