"""A consumer of DLPack capsules that takes any device, as a framework does: declared anew here, so
that a wrong layout in the package does not agree with itself."""

import ctypes
import struct

_api = ctypes.pythonapi
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
_USED = b"used_dltensor"


class Tensor:
    """Data, device, ndim, dtype, shape, strides, byte_offset, context and deleter, of 64 bits."""

    LAYOUT = struct.Struct("@P ii i BBH P P Q P P")

    def __init__(self, exporter):
        capsule = exporter.__dlpack__()
        self._address = _api.PyCapsule_GetPointer(capsule, b"dltensor")
        _api.PyCapsule_SetName(capsule, _USED)
        (
            self.data,
            self.device_type,
            self.device_id,
            self.ndim,
            self.code,
            self.bits,
            self.lanes,
            shape,
            self.strides,
            self.byte_offset,
            _,
            _,
        ) = self._fields()
        self.shape = list((ctypes.c_int64 * self.ndim).from_address(shape))

    def _fields(self):
        return self.LAYOUT.unpack(ctypes.string_at(self._address, self.LAYOUT.size))

    def deleter(self):
        return self._fields()[-1]

    def drop(self):
        """As a framework's last tensor does, which reads the deleter only then."""
        address, self._address = self._address, 0
        deleter = self.LAYOUT.unpack(ctypes.string_at(address, self.LAYOUT.size))[-1]
        if deleter:
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(deleter)(address)
