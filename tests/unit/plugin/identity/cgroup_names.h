// Names as the kubelet and the runtimes make them, for the tests of what reads them.
#pragma once

#include <string>

namespace npu_ipc::identity {

inline const std::string kUid = "0c3a7074-41be-47d8-b6cb-a20a8f84383a";
inline const std::string kSystemdUid = "0c3a7074_41be_47d8_b6cb_a20a8f84383a";
inline const std::string kStaticUid = "6692aca748eb91429aeed74bd4135da2";
inline const std::string kId = "1216aca448b8d70f6d7b4f2ded54fe5329143750deb7569409647078e87bf128";
// What a forger writes.
inline const std::string kOtherUid = "ffffffff-41be-47d8-b6cb-a20a8f84383a";
inline const std::string kOtherId(64, 'e');

}  // namespace npu_ipc::identity
