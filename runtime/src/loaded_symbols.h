// Finds a function among the libraries that the program has loaded, whatever way it loaded them.
#pragma once

namespace npu_ipc::runtime {

// The address of the first definition of `symbol` in load order, or null; with `after`, of the
// first one behind the definition at that address: what an interposed function stands before. Loads
// nothing.
//
// This walks the loaded objects' own symbol tables (dl_iterate_phdr) and does not use dlsym: that
// sees nothing of a library loaded RTLD_LOCAL (Python's ctypes, torch_npu) without its file name,
// and it, like pthread_create, moved into libc only with glibc 2.34, so that a reference to it
// would raise the glibc that this library needs, or the libraries.
void* FindLoadedSymbol(const char* symbol, const void* after = nullptr);

// The same, as a pointer to a function of a given type.
template <class Function>
Function FindLoadedFunction(const char* symbol, Function after = nullptr) {
  return reinterpret_cast<Function>(FindLoadedSymbol(symbol, reinterpret_cast<const void*>(after)));
}

}  // namespace npu_ipc::runtime
