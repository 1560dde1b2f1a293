// Devices, streams, callbacks and versions that the simulator does not build: 207000 each.
#include "acl/acl.h"
#include "hal/sim/libruntime/interface.h"

using npu_ipc::sim::rt::NotBuilt;

aclError aclrtGetErrorVerbose(int32_t, aclrtErrorInfo*) { return NotBuilt(__func__); }

aclError aclrtRepairError(int32_t, const aclrtErrorInfo*) { return NotBuilt(__func__); }

aclError aclsysGetVersionNum(char*, int32_t*) { return NotBuilt(__func__); }

aclError aclrtDeviceGetUuid(int32_t, aclrtUuid*) { return NotBuilt(__func__); }

aclError aclrtDeviceTaskAbort(int32_t, uint32_t) { return NotBuilt(__func__); }

aclError aclrtGetDeviceResLimit(int32_t, aclrtDevResLimitType, uint32_t*) {
  return NotBuilt(__func__);
}

aclError aclrtGetSysParamOpt(aclSysParamOpt, int64_t*) { return NotBuilt(__func__); }

aclError aclrtResetDeviceResLimit(int32_t) { return NotBuilt(__func__); }

aclError aclrtSetDeviceResLimit(int32_t, aclrtDevResLimitType, uint32_t) {
  return NotBuilt(__func__);
}

aclError aclrtSetSysParamOpt(aclSysParamOpt, int64_t) { return NotBuilt(__func__); }

aclError aclrtCtxSetSysParamOpt(aclSysParamOpt, int64_t) { return NotBuilt(__func__); }

aclError aclrtMemP2PMap(void*, size_t, int32_t, uint64_t) { return NotBuilt(__func__); }

aclError aclrtActiveStream(aclrtStream, aclrtStream) { return NotBuilt(__func__); }

aclError aclrtCmoAsync(void*, size_t, aclrtCmoType, aclrtStream) { return NotBuilt(__func__); }

aclError aclrtGetOpTimeOutInterval(uint64_t*) { return NotBuilt(__func__); }

aclError aclrtGetResInCurrentThread(aclrtDevResLimitType, uint32_t*) { return NotBuilt(__func__); }

aclError aclrtGetStreamAttribute(aclrtStream, aclrtStreamAttr, aclrtStreamAttrValue*) {
  return NotBuilt(__func__);
}

aclError aclrtGetStreamAvailableNum(uint32_t*) { return NotBuilt(__func__); }

aclError aclrtGetStreamOverflowSwitch(aclrtStream, uint32_t*) { return NotBuilt(__func__); }

aclError aclrtGetStreamResLimit(aclrtStream, aclrtDevResLimitType, uint32_t*) {
  return NotBuilt(__func__);
}

aclError aclrtResetStreamResLimit(aclrtStream) { return NotBuilt(__func__); }

aclError aclrtSetOpExecuteTimeOut(uint32_t) { return NotBuilt(__func__); }

aclError aclrtSetOpExecuteTimeOutV2(uint64_t, uint64_t*) { return NotBuilt(__func__); }

aclError aclrtSetOpWaitTimeout(uint32_t) { return NotBuilt(__func__); }

aclError aclrtSetStreamAttribute(aclrtStream, aclrtStreamAttr, aclrtStreamAttrValue*) {
  return NotBuilt(__func__);
}

aclError aclrtSetStreamFailureMode(aclrtStream, uint64_t) { return NotBuilt(__func__); }

aclError aclrtSetStreamOverflowSwitch(aclrtStream, uint32_t) { return NotBuilt(__func__); }

aclError aclrtSetStreamResLimit(aclrtStream, aclrtDevResLimitType, uint32_t) {
  return NotBuilt(__func__);
}

aclError aclrtUnuseStreamResInCurrentThread(aclrtStream) { return NotBuilt(__func__); }

aclError aclrtUseStreamResInCurrentThread(aclrtStream) { return NotBuilt(__func__); }

aclError aclrtValueWait(void*, uint64_t, uint32_t, aclrtStream) { return NotBuilt(__func__); }

aclError aclrtValueWrite(void*, uint64_t, uint32_t, aclrtStream) { return NotBuilt(__func__); }

aclError aclrtLaunchCallback(aclrtCallback, void*, aclrtCallbackBlockType, aclrtStream) {
  return NotBuilt(__func__);
}

aclError aclrtLaunchHostFunc(aclrtStream, aclrtHostFunc, void*) { return NotBuilt(__func__); }

aclError aclrtProcessReport(int32_t) { return NotBuilt(__func__); }

aclError aclrtRegDeviceStateCallback(const char*, aclrtDeviceStateCallback, void*) {
  return NotBuilt(__func__);
}

aclError aclrtSetDeviceTaskAbortCallback(const char*, aclrtDeviceTaskAbortCallback, void*) {
  return NotBuilt(__func__);
}

aclError aclrtSubscribeReport(uint64_t, aclrtStream) { return NotBuilt(__func__); }

aclError aclrtUnSubscribeReport(uint64_t, aclrtStream) { return NotBuilt(__func__); }
