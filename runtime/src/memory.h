// Objects from malloc: operator new belongs to libstdc++, which this library does not link.
#pragma once

#include <stdlib.h>

#include <new>
#include <utility>

namespace npu_ipc::runtime {

// Null when the host is out of memory.
template <class T, class... Arguments>
T* New(Arguments&&... arguments) {
  static_assert(alignof(T) <= alignof(max_align_t));
  void* const memory = ::malloc(sizeof(T));
  return memory == nullptr ? nullptr : ::new (memory) T(std::forward<Arguments>(arguments)...);
}

// Null is ignored.
template <class T>
void Delete(T* object) {
  if (object == nullptr) return;
  object->~T();
  ::free(object);
}

}  // namespace npu_ipc::runtime
