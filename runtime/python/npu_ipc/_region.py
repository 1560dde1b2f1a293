"""Memory that this process published."""

from __future__ import annotations

from ctypes import byref, c_void_p
from typing import Any, Optional

from npu_ipc import _native
from npu_ipc._connection import Connection
from npu_ipc._guard import Guard
from npu_ipc._memory import Memory, end_of_block
from npu_ipc._time import milliseconds
from npu_ipc.errors import ends_all_the_same


class Region:
    """A name under which this process' memory is published, until `withdraw()`.

    It keeps what was published (a tensor, `empty()`'s memory) alive. As a context manager it is
    withdrawn at the block's end, waiting up to 10 s for importers.
    """

    def __init__(
        self,
        connection: Connection,
        handle: c_void_p,
        name: str,
        block: Optional[Memory],
        keeps: object,
    ) -> None:
        self.name = name
        self._connection = connection
        self._handle = handle
        self._block = block
        self._keeps: Optional[object] = keeps
        self._guard = Guard(f"the region {name!r} is withdrawn")

    @property
    def generation(self) -> int:
        """Higher each time it is published, and each time its key is renewed."""
        return int(self._info("generation").generation)

    @property
    def device(self) -> int:
        """Physical id."""
        return int(self._info("device").device)

    @property
    def withdrawn(self) -> bool:
        """It lets nobody new in: withdraw was called, or it is lost."""
        return self._guard.ended or bool(self._info("withdrawn").withdrawn)

    def withdraw(self, timeout: Optional[float] = 10.0, *, force: bool = False) -> None:
        """Takes it back: importers are told, and have `timeout` seconds to detach.

        StillHeld: some had not. BrokerUnavailable, TimedOut: the broker is away, or does not
        answer. After these the region is still ours, and withdraw may be called again. `force`
        ends it all the same: importers' next access then fails on the device.
        """
        call = f"withdraw {self.name!r}"
        drain_ms = milliseconds(timeout)
        with self._connection.guard.use(call), self._guard.end(call):
            self._guard.ended = True  # before: a signal's exception may be raised after the call
            status = self._connection.library.npu_ipc_withdraw(self._handle, drain_ms, int(force))
            error = self._connection.failure(call, status)
            self._guard.ended = ends_all_the_same(error)
            if self._guard.ended:
                self._connection.forget(self._handle)
                self._let_go()
        if error is not None:
            raise error

    def _end_with_client(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        """Of what was published: it may be freed."""
        if self._block is not None:
            self._block.let_go()
        self._block = self._keeps = None

    def _info(self, what: str) -> _native.RegionInfo:
        info = _native.sized(_native.RegionInfo)
        call = f"{what} of the region {self.name!r}"
        with self._connection.guard.use(call), self._guard.use(call):
            status = self._connection.library.npu_ipc_region_get_info(self._handle, byref(info))
        self._connection.check(call, status)
        return info

    def __enter__(self) -> Region:
        return self

    def __exit__(self, error_type: Any, error: Any, traceback: Any) -> None:
        if not self._guard.ended:
            end_of_block(self.withdraw, error)

    def __repr__(self) -> str:
        return f"<npu_ipc.Region {self.name!r}{', withdrawn' if self._guard.ended else ''}>"
