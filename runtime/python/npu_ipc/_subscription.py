"""Names of a group: those that are there, and those that come and go."""

from __future__ import annotations

from ctypes import byref, c_int, c_void_p
from typing import Any, Iterator, NamedTuple, Optional

from npu_ipc import _native
from npu_ipc._connection import Connection
from npu_ipc._guard import Guard
from npu_ipc._memory import end_of_block
from npu_ipc._time import wait_in_slices
from npu_ipc.errors import Ended
from npu_ipc.status import ChangeType, Status


class RegionDescription(NamedTuple):
    """A region that is published, as any member of its group may know it."""

    group: str
    name: str
    generation: int
    nbytes: int
    """What it shows; importers can reach all of `allocated_nbytes`."""
    allocated_nbytes: int
    exporter_namespace: str
    exporter_pod: str
    exporter_pod_uid: str
    exporter_host_pid: int
    exporter_device: int
    importers: int
    """Mappings at that moment."""


def description(raw: _native.RegionDescription) -> RegionDescription:
    return RegionDescription(
        raw.group.decode(),
        raw.name.decode(),
        int(raw.generation),
        int(raw.bytes),
        int(raw.allocation_bytes),
        raw.exporter_namespace.decode(),
        raw.exporter_pod.decode(),
        raw.exporter_pod_uid.decode(),
        int(raw.exporter_host_pid),
        int(raw.exporter_device),
        int(raw.importers),
    )


class Change(NamedTuple):
    type: ChangeType
    region: RegionDescription
    """Of GONE only group, name and (unless 0) generation are set; of RESET nothing."""


class Subscription:
    """What `subscribe()` tells. Iterating waits for changes, until the subscription is closed.

    Of one name only the latest state waits; after RESET everything is told from the start.
    """

    def __init__(self, connection: Connection, handle: c_void_p, prefix: str) -> None:
        self.prefix = prefix
        self._connection = connection
        self._handle = handle
        self._guard = Guard(f"the subscription to {prefix!r} is closed")

    def next(self, timeout: Optional[float] = None) -> Optional[Change]:
        """The next change; None where none came within `timeout` seconds (None: for ever)."""
        call = f"next change of the subscription to {self.prefix!r}"

        def look(wait_ms: int) -> Optional[Change]:
            change = c_int()
            raw = _native.sized(_native.RegionDescription)
            with self._connection.guard.use(call), self._guard.use(call):
                status = self._connection.library.npu_ipc_subscription_next(
                    self._handle, wait_ms, byref(change), byref(raw)
                )
            if status == Status.NO_EVENT:
                return None
            self._connection.check(call, status)
            return Change(ChangeType(change.value), description(raw))

        return wait_in_slices(timeout, look)

    def close(self) -> None:
        """Ends it, and iterations over it in other threads. A second time does nothing."""
        if self._guard.ended or self._connection.guard.ended:
            return
        call = f"close the subscription to {self.prefix!r}"
        with self._connection.guard.use(call), self._guard.end(call):
            self._guard.ended = True  # before: a signal's exception may be raised after the call
            status = self._connection.library.npu_ipc_unsubscribe(self._handle)
            self._connection.forget(self._handle)
        self._connection.check(call, status)

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        try:
            change = self.next()
        except Ended:
            raise StopIteration from None
        if change is None:
            raise StopIteration
        return change

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, error_type: Any, error: Any, traceback: Any) -> None:
        end_of_block(self.close, error)

    def _end_with_client(self) -> None:
        pass
