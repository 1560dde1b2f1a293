"""Memory of another process that this process attached to."""

from __future__ import annotations

from ctypes import byref, c_void_p
from typing import Any, NamedTuple, Optional

from npu_ipc import _dlpack, _native
from npu_ipc._connection import Connection
from npu_ipc._guard import Guard
from npu_ipc._memory import end_of_block, refuse_if_in_use
from npu_ipc.errors import Ended, ends_all_the_same
from npu_ipc.status import MappingState, Status


class Exporter(NamedTuple):
    """Whose memory it is."""

    namespace: str
    pod: str
    pod_uid: str
    host_pid: int
    device: int
    """Physical id. Where it differs from the importer's, only asynchronous device-to-device copies
    and kernels reach the memory: a tensor of it is to be cloned before it is copied to the host."""


class Mapping(_dlpack.TensorSource):
    """The memory of a region, in this process, until `detach()`.

    Frameworks wrap it without a copy: `torch.from_dlpack(mapping)` is a tensor of bytes, to be
    viewed as what it holds. The mapping lives as long as the tensors do, and is never unmapped
    behind their back: `detach()` refuses while any is alive. When the exporter wants the memory
    back, or the right to it is taken back, `state` says so, and an event tells it.
    """

    def __init__(
        self,
        connection: Connection,
        handle: c_void_p,
        name: str,
        info: _native.MappingInfo,
        index: int,
    ) -> None:
        self.name = name
        self.nbytes = int(info.bytes)
        self.generation = int(info.generation)
        self.device = int(info.device)
        """The importing device, physical id."""
        self.device_index = index
        """The same as this process counts its devices: N of torch's `npu:N`."""
        self.exporter = Exporter(
            info.exporter_namespace.decode(),
            info.exporter_pod.decode(),
            info.exporter_pod_uid.decode(),
            int(info.exporter_host_pid),
            int(info.exporter_device),
        )
        self._connection = connection
        self._handle = handle
        self._pointer = int(info.dev_ptr or 0)
        self._guard = Guard(f"the mapping of {name!r} is detached")
        self._exports = _dlpack.Exports(self._pointer, self.nbytes, index)

    @property
    def ptr(self) -> int:
        """The device pointer to its first byte."""
        if self._guard.ended:
            raise Ended("ptr", Status.INVALID_ARGUMENT, f"the mapping of {self.name!r} is detached")
        return self._pointer

    def data_ptr(self) -> int:
        return self.ptr

    @property
    def state(self) -> MappingState:
        info = _native.sized(_native.MappingInfo)
        call = f"state of the mapping of {self.name!r}"
        with self._connection.guard.use(call), self._guard.use(call):
            status = self._connection.library.npu_ipc_mapping_get_info(self._handle, byref(info))
        self._connection.check(call, status)
        return MappingState(info.state)

    @property
    def live(self) -> bool:
        """Nobody has asked for it back, and it is not dead."""
        return not self._guard.ended and self.state == MappingState.LIVE

    @property
    def revoked(self) -> bool:
        """This process' right to the memory was taken back: detach."""
        return not self._guard.ended and self.state == MappingState.REVOKED

    def detach(self) -> None:
        """Unmaps it: no copy or kernel may use the pointer any more. Needs no broker.

        StillInUse: tensors that were made from it are alive, and it stays. VendorError: the
        vendor's close failed; the mapping is gone all the same, but for 107002 (no context).
        """
        call = f"detach {self.name!r}"
        with self._connection.guard.use(call), self._guard.end(call):
            refuse_if_in_use(call, self._exports)
            self._guard.ended = True  # before: a signal's exception may be raised after the call
            status = self._connection.library.npu_ipc_detach(self._handle)
            error = self._connection.failure(call, status)
            self._guard.ended = ends_all_the_same(error)
            if self._guard.ended:
                self._connection.forget(self._handle)
        if error is not None:
            raise error

    def __enter__(self) -> Mapping:
        return self

    def __exit__(self, error_type: Any, error: Any, traceback: Any) -> None:
        if not self._guard.ended:
            end_of_block(self.detach, error)

    def __repr__(self) -> str:
        where = "detached" if self._guard.ended else f"{self.nbytes} bytes at {self._pointer:#x}"
        return f"<npu_ipc.Mapping of {self.name!r}, {where}>"

    def _end_with_client(self) -> Optional[str]:
        return self.name

    def _new_capsule(self) -> object:
        with self._guard.use(f"__dlpack__ of the mapping of {self.name!r}"):
            return self._exports.new_capsule()
