"""One client of the C API, as `Client` and what it makes see it."""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from ctypes import byref, c_void_p
from typing import Callable, Dict, List, Optional, Protocol, Set, Type, TypeVar

from npu_ipc import _native
from npu_ipc._guard import Guard
from npu_ipc._time import milliseconds
from npu_ipc.errors import NpuIpcError, error_for
from npu_ipc.status import Status

_HAS_VENDOR_CODE = (Status.VENDOR_ERROR, Status.EXPORTER_FAILED)


class Made(Protocol):
    """What was made with a client, and ends with it at the latest."""

    def _end_with_client(self) -> Optional[str]:
        """Returns its name where its memory stays mapped."""


_M = TypeVar("_M", bound=Made)


class Connection:
    """Any thread may use it. Calls of `library` with `handle` are made in `with guard.use(...)`."""

    def __init__(self, socket_path: Optional[str], timeout: Optional[float]) -> None:
        self.guard = Guard("the client is closed")
        self.guard.ended = True  # until it is open
        self.handle = c_void_p()
        self.wake_at_close: List[Callable[[], object]] = []
        self._pid = os.getpid()
        self._registered = threading.Condition()
        self._made: Dict[int, Made] = {}
        self.library = _native.library()
        options = _native.sized(
            _native.OpenOptions,
            socket_path=_native.encoded(socket_path),
            timeout_ms=milliseconds(timeout),
        )
        status = self.library.npu_ipc_open(byref(options), byref(self.handle))
        if status != Status.OK:
            error = self.error("open", status)
            self.library.npu_ipc_close(self.handle)
            raise error
        self.guard.ended = False

    def close(self) -> None:
        """A second time does nothing. Waits for calls that use it."""
        if self.guard.ended:
            return
        if os.getpid() != self._pid:
            self.guard.ended = True
            self.library.npu_ipc_close(self.handle)  # only frees
            return
        with self.guard.end("close"):
            for wake in list(self.wake_at_close):
                wake()
            self.guard.ended = True  # before: a signal's exception may be raised after the call
            self.library.npu_ipc_close(self.handle)
            names = [made._end_with_client() for made in self._made.values()]
            _sharing.discard(self)
        mapped = ", ".join(sorted(filter(None, names)))
        if mapped:
            warnings.warn(
                f"closed with mappings that stay mapped: {mapped}", ResourceWarning, stacklevel=3
            )

    def __del__(self) -> None:
        if not self.guard.ended and os.getpid() == self._pid:
            warnings.warn("a client was never closed", ResourceWarning, stacklevel=2)
            self.close()

    def remember(self, handle: c_void_p, made: Made) -> None:
        """From here on the connection lives, though the program may have dropped all of it."""
        with self._registered:
            self._made[handle.value or 0] = made
            _sharing.add(self)
            self._registered.notify_all()

    def forget(self, handle: c_void_p) -> None:
        with self._registered:
            del self._made[handle.value or 0]
            if not self._made:
                _sharing.discard(self)

    def find(self, handle: Optional[int], kind: Type[_M]) -> Optional[_M]:
        """An event's object: the call that makes it may not have come back to Python yet.

        One of another kind is not it, but has its place in memory by now.
        """

        def found() -> Optional[_M]:
            made = self._made.get(handle or 0)
            return made if isinstance(made, kind) else None

        if handle is None:
            return None
        with self._registered:
            return self._registered.wait_for(found, timeout=1)

    def check(self, call: str, status: int) -> None:
        if status != Status.OK:
            raise self.error(call, status)

    def failure(self, call: str, status: int) -> Optional[NpuIpcError]:
        return None if status == Status.OK else self.error(call, status)

    def error(self, call: str, status: int) -> NpuIpcError:
        text = ctypes.create_string_buffer(512)
        vendor_code = 0
        if self.handle:
            self.library.npu_ipc_last_error(self.handle, text, len(text))
            if status in _HAS_VENDOR_CODE:
                vendor_code = self.library.npu_ipc_last_vendor_code(self.handle)
        cause = text.value.decode(errors="replace")
        if not cause:
            cause = self.library.npu_ipc_status_string(status).decode()
        return error_for(call, status, cause, vendor_code)


# Those that share something: dropping a client does not take back what it publishes.
_sharing: Set[Connection] = set()
