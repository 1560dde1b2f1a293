"""Device memory as a DLPack capsule, without compiled code of our own.

A capsule carries a DLManagedTensor, whose `deleter` the consumer calls when its last tensor is
gone: from any thread, with or without the GIL, while an exception is set, after the interpreter's
end. A Python callback survives neither of the last two: ctypes drops an exception that was set
before it. So the deleter is a function that is there already and takes a pointer: time(2), which
writes the time to where it points, the struct's first field. A struct that no longer says where its
memory is has been given back, which is looked for when the memory's owner is to end (`in_use`).

For the same reason capsules have no destructor. Their owner keeps them, and makes useless what
nobody has consumed by then.
"""

from __future__ import annotations

import ctypes
import threading
from abc import ABC, abstractmethod
from ctypes import c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint64, c_void_p
from typing import Any, List, NamedTuple, Optional, Tuple

EXT_DEV = 12  # kDLExtDev: what PyTorch's privateuse1 devices are, "npu" of torch_npu among them

_UINT = 1  # kDLUInt
_NAME = b"dltensor"  # the consumer renames it to "used_dltensor"
_DEAD_NAME = b"dltensor of memory that has ended"


class _DataType(ctypes.Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class _ManagedTensor(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("dtype", _DataType),
        ("shape", c_void_p),
        ("strides", c_void_p),
        ("byte_offset", c_uint64),
        ("manager_ctx", c_void_p),
        ("deleter", c_void_p),
        # Ours, behind what DLPack declares:
        ("extent", c_int64 * 1),
    ]


_libc = ctypes.CDLL(None)
_deleter = ctypes.cast(_libc.time, c_void_p).value
# Structs are not Python's: tensors may outlive the interpreter.
_calloc = _libc.calloc
_calloc.restype = c_void_p
_calloc.argtypes = [c_size_t, c_size_t]
_free = _libc.free
_free.restype = None
_free.argtypes = [c_void_p]

_python = ctypes.pythonapi
_new = _python.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = [c_void_p, ctypes.c_char_p, c_void_p]
_is_valid = _python.PyCapsule_IsValid
_is_valid.restype = ctypes.c_int
_is_valid.argtypes = [ctypes.py_object, ctypes.c_char_p]
_set_name = _python.PyCapsule_SetName
_set_name.restype = ctypes.c_int
_set_name.argtypes = [ctypes.py_object, ctypes.c_char_p]


class _Export(NamedTuple):
    address: int
    capsule: Any

    def managed(self) -> _ManagedTensor:
        return _ManagedTensor.from_address(self.address)


class Exports:
    """The capsules of one piece of memory, and with them the tensors. Thread safe."""

    def __init__(self, pointer: int, nbytes: int, device: int) -> None:
        self._pointer = pointer
        self._nbytes = nbytes
        self._device = device
        self._lock = threading.Lock()
        self._exports: List[_Export] = []  # guarded by _lock

    def new_capsule(self) -> object:
        """The memory as a vector of bytes."""
        address = _calloc(1, ctypes.sizeof(_ManagedTensor))
        if not address:
            raise MemoryError
        managed = _ManagedTensor.from_address(address)
        managed.data = self._pointer
        managed.device_type = EXT_DEV
        managed.device_id = self._device
        managed.ndim = 1
        managed.dtype = _DataType(_UINT, 8, 1)
        managed.shape = address + _ManagedTensor.extent.offset
        managed.extent[0] = self._nbytes
        managed.deleter = _deleter
        capsule = _new(address, _NAME, None)
        with self._lock:
            self._sweep()
            self._exports.append(_Export(address, capsule))
        return capsule

    def count(self) -> int:
        """Tensors that are alive, and capsules that may become some."""
        with self._lock:
            self._sweep()
            return len(self._exports)

    def in_use(self) -> int:
        """How many tensors are alive. Capsules that nobody has consumed become useless."""
        with self._lock:
            for export in self._exports:
                if _is_valid(export.capsule, _NAME):
                    _set_name(export.capsule, _DEAD_NAME)
                    export.managed().data = None
            self._sweep()
            return len(self._exports)

    def _sweep(self) -> None:
        alive = []
        for export in self._exports:
            if export.managed().data == self._pointer:
                alive.append(export)
            else:
                _free(export.address)
        self._exports = alive


class TensorSource(ABC):
    """What `from_dlpack()` takes: memory that does not move and is not copied."""

    device_index: int

    @abstractmethod
    def _new_capsule(self) -> object:
        """The memory, which does not end while this runs; an error where it has."""

    def __dlpack_device__(self) -> Tuple[int, int]:
        return (EXT_DEV, self.device_index)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Optional[Tuple[int, int]] = None,
        dl_device: Optional[Tuple[int, int]] = None,
        copy: Optional[bool] = None,
    ) -> object:
        own = self.__dlpack_device__()
        if copy:
            raise BufferError("npu_ipc: this memory is shared, and is not copied by __dlpack__")
        if dl_device is not None and tuple(dl_device) != own:
            raise BufferError(
                f"npu_ipc: the memory is on DLPack device {own}, not {tuple(dl_device)}"
            )
        return self._new_capsule()
