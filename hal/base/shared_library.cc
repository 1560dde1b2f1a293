#include "hal/base/shared_library.h"

#include <dlfcn.h>

namespace npu_ipc {

Result<SharedLibrary> SharedLibrary::Open(const std::string& name) {
  void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* why = ::dlerror();
    return Status(StatusCode::kNotFound,
                  "cannot load " + name + ": " + (why != nullptr ? why : "no reason given"));
  }
  return SharedLibrary(handle, name);
}

void* SharedLibrary::FindAddress(const char* symbol) const { return ::dlsym(handle_, symbol); }

}  // namespace npu_ipc
