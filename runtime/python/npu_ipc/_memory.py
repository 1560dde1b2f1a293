"""Device memory that can be exported, and how a tensor's memory is recognised as such."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from typing import Any, Optional, Protocol, Set, Tuple

from npu_ipc import _dlpack
from npu_ipc._vendor import HUGE_PAGE, ascendcl
from npu_ipc.errors import (
    Ended,
    InvalidArgument,
    NotExportable,
    StillInUse,
    VendorError,
    WrongProcess,
)
from npu_ipc.status import Status


class DeviceMemory(Protocol):
    """What has a place and a size: a tensor, `empty()`'s memory."""

    def data_ptr(self) -> int: ...

    @property
    def nbytes(self) -> int: ...


class Memory(_dlpack.TensorSource):
    """A whole allocation of aclrtMalloc, of at least `nbytes`: what the driver can export.

    Made by `empty()`. Frameworks wrap it without a copy: `torch.from_dlpack(memory)` is a tensor of
    bytes, to be viewed as what it is to hold (`.view(torch.float16).view(shape)`). It stays
    allocated until `free()` (or the end of a `with` block): neither this package nor a tensor that
    is dropped frees it, as kernels may still be running on it. Calls may come from any thread.
    """

    def __init__(self, nbytes: int) -> None:
        self._pointer = 0
        if nbytes <= 0:
            raise InvalidArgument(
                f"empty({nbytes})", Status.INVALID_ARGUMENT, "the size must be positive"
            )
        _forget_those_without_tensors()
        self._vendor = ascendcl()
        self.nbytes = nbytes
        self.allocated_nbytes = -(-nbytes // HUGE_PAGE) * HUGE_PAGE
        """What importers can reach: the size in whole pages of 2 MiB."""
        self.device_index = self._vendor.device()
        """As this process counts its devices: N of torch's `npu:N`."""
        self._regions = 0
        self._lock = threading.Lock()  # of the line above, the tensors, and being freed
        self._pid = os.getpid()
        self._pointer = self._vendor.malloc(self.allocated_nbytes)
        self._exports = _dlpack.Exports(self._pointer, nbytes, self.device_index)
        _blocks[self._pointer] = self

    @property
    def ptr(self) -> int:
        self._check_process("ptr")
        if self._pointer == 0:
            raise Ended("ptr", Status.INVALID_ARGUMENT, "this memory has been freed")
        return self._pointer

    def data_ptr(self) -> int:
        return self.ptr

    def free(self) -> None:
        """Frees it: no copy or kernel may use it any more. A second time does nothing.

        StillInUse: it is published, or tensors of it are alive. VendorError: aclrtFree failed.
        """
        self._check_process("free")
        with self._lock:
            if self._pointer == 0:
                return
            if self._regions > 0:
                raise StillInUse(
                    "free",
                    Status.STILL_HELD,
                    f"it is published, in {self._regions} region(s)",
                    advice="Withdraw them first.",
                )
            refuse_if_in_use("free", self._exports)
            del _blocks[self._pointer]  # before another thread may be given this address
            try:
                self._vendor.free(self._pointer)
            except VendorError:
                _blocks[self._pointer] = self
                raise
            _with_tensors.discard(self)
            self._pointer = 0

    def hold(self) -> None:
        """A region needs it: it is not to be freed until `let_go()`."""
        with self._lock:
            _ = self.ptr
            self._regions += 1

    def let_go(self) -> None:
        with self._lock:
            self._regions -= 1

    def _check_process(self, call: str) -> None:
        """Before any lock is taken: after a fork another thread may hold it for ever."""
        if os.getpid() != self._pid:
            raise WrongProcess(call, Status.WRONG_PROCESS, "allocated by its parent")

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, error_type: Any, error: Any, traceback: Any) -> None:
        end_of_block(self.free, error)

    def __del__(self) -> None:
        if self._pointer != 0 and os.getpid() == self._pid:
            warnings.warn(
                f"{self.allocated_nbytes} bytes of device memory were never freed: {self!r}",
                ResourceWarning,
                stacklevel=2,
            )

    def __repr__(self) -> str:
        where = f"at {self._pointer:#x}" if self._pointer else "freed"
        return f"<npu_ipc.Memory of {self.nbytes} bytes {where}>"

    def _new_capsule(self) -> object:
        self._check_process("__dlpack__")
        with self._lock:
            _ = self.ptr
            _with_tensors.add(self)
            return self._exports.new_capsule()


# The live blocks by their address; those that a program may know by their tensors alone are kept.
_blocks: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()
_with_tensors: Set[Memory] = set()


def _forget_those_without_tensors() -> None:
    for block in list(_with_tensors):
        if block._pid != os.getpid():
            continue
        with block._lock:
            if block._exports.count() == 0:
                _with_tensors.discard(block)


def find_block(call: str, pointer: int, nbytes: int) -> Memory:
    """The block in which [pointer, pointer + nbytes) lies; NotExportable where none does."""
    for start, block in list(_blocks.items()):
        if start <= pointer and pointer + nbytes <= start + block.allocated_nbytes:
            return block
    raise NotExportable(
        call,
        Status.INVALID_ARGUMENT,
        f"[{pointer:#x}, +{nbytes}) lies in no memory of npu_ipc.empty(): the driver exports whole "
        "allocations only, and a framework's allocator gives out parts of one",
        advice="Let the tensor live in exportable memory: memory = npu_ipc.empty(nbytes); "
        "shared = torch.from_dlpack(memory).view(dtype).view(shape); shared.copy_(tensor). "
        "A whole allocation of your own: publish(name, ptr, nbytes).",
    )


def extent(call: str, tensor: DeviceMemory) -> Tuple[int, int]:
    """Where a tensor's bytes are; NotExportable where they are not in one piece."""
    contiguous = getattr(tensor, "is_contiguous", None)
    if contiguous is not None and not contiguous():
        raise NotExportable(
            call,
            Status.INVALID_ARGUMENT,
            "the tensor is not contiguous",
            advice="Publish the tensor that it is a view of, or tensor.contiguous().",
        )
    return int(tensor.data_ptr()), int(tensor.nbytes)


def refuse_if_in_use(call: str, exports: _dlpack.Exports) -> None:
    tensors = exports.in_use()
    if tensors:
        raise StillInUse(
            call,
            Status.STILL_HELD,
            f"{tensors} tensor(s) that were made from it by DLPack are alive",
            advice="Drop them, and what is a view of them, first.",
        )


def end_of_block(end: Any, error: Optional[BaseException]) -> None:
    """What __exit__ does: ends the object, without hiding the error that ends the block."""
    try:
        end()
    except Exception as not_ended:
        if error is None:
            raise
        warnings.warn(f"left open: {not_ended}", ResourceWarning, stacklevel=3)
