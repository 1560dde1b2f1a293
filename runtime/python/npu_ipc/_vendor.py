"""The little of AscendCL that memory of our own needs. All else is the program's business."""

from __future__ import annotations

import ctypes
import functools
import os
from ctypes import POINTER, byref, c_int, c_int32, c_size_t, c_void_p
from typing import Optional

from npu_ipc.errors import NoVendorLibrary, VendorError
from npu_ipc.status import Status

SONAME = "libascendcl.so"

# The driver exports whole page table entries, of 2 MiB with this policy (where huge pages are
# short, it gives small ones, which are exported as well).
HUGE_FIRST = 0  # acl: ACL_MEM_MALLOC_HUGE_FIRST
HUGE_PAGE = 2 << 20


class AscendCl:
    """The library that this process uses: the loaded one, else the one that the loader finds."""

    def __init__(self) -> None:
        library = _loaded()
        try:
            self._library = library if library is not None else ctypes.CDLL(SONAME)
            self._malloc = self._library.aclrtMalloc
            self._free = self._library.aclrtFree
            self._get_device = self._library.aclrtGetDevice
        except (OSError, AttributeError) as error:
            raise NoVendorLibrary("load AscendCL", Status.NO_VENDOR_LIBRARY, str(error)) from None
        self._malloc.argtypes = [POINTER(c_void_p), c_size_t, c_int]
        self._free.argtypes = [c_void_p]
        self._get_device.argtypes = [POINTER(c_int32)]

    def malloc(self, nbytes: int) -> int:
        pointer = c_void_p()
        self._check("aclrtMalloc", self._malloc(byref(pointer), nbytes, HUGE_FIRST))
        return pointer.value or 0

    def free(self, pointer: int) -> None:
        self._check("aclrtFree", self._free(pointer))

    def device(self) -> int:
        """This thread's device, as this process counts its devices (the C API's are physical)."""
        device = c_int32(-1)
        self._check("aclrtGetDevice", self._get_device(byref(device)))
        return device.value

    @staticmethod
    def _check(call: str, code: int) -> None:
        if code != 0:
            raise VendorError(call, Status.VENDOR_ERROR, vendor_code=code)


def _loaded() -> Optional[ctypes.CDLL]:
    try:
        return ctypes.CDLL(SONAME, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return None


@functools.lru_cache(maxsize=None)
def ascendcl() -> AscendCl:
    return AscendCl()


def current_device() -> int:
    """AscendCl.device(), or -1 where it cannot be had."""
    try:
        return ascendcl().device()
    except (NoVendorLibrary, VendorError):
        return -1
