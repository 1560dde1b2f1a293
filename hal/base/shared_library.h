// A library loaded at run time: the only place that calls dlopen.
#pragma once

#include <string>

#include "hal/base/result.h"

namespace npu_ipc {

// Copyable handle to a library that stays loaded for ever: unloading vendor libraries, with their
// threads and thread-locals, is never safe, so nothing here does. Safe for concurrent use.
class SharedLibrary {
 public:
  // `name` is a SONAME or a path, resolved as dlopen(3) does. kNotFound with dlerror()'s text when
  // the library, or one that it needs, cannot be loaded.
  static Result<SharedLibrary> Open(const std::string& name);

  // The symbol's address, or nullptr where this library (and what it needs) does not define it.
  template <class Fn>
  Fn Find(const char* symbol) const {
    return reinterpret_cast<Fn>(FindAddress(symbol));
  }

  const std::string& name() const { return name_; }

 private:
  SharedLibrary(void* handle, std::string name) : handle_(handle), name_(std::move(name)) {}
  void* FindAddress(const char* symbol) const;

  void* handle_;
  std::string name_;
};

}  // namespace npu_ipc
