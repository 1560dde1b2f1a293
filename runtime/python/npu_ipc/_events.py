"""What a client is told unasked, by iteration or in an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from ctypes import byref
from typing import AsyncIterator, Iterator, NamedTuple, Optional

from npu_ipc import _native
from npu_ipc._connection import Connection
from npu_ipc._mapping import Mapping
from npu_ipc._region import Region
from npu_ipc._subscription import Subscription
from npu_ipc._time import wait_in_slices
from npu_ipc.errors import Ended, OutOfMemory
from npu_ipc.status import EventType, Status


class Event(NamedTuple):
    type: EventType
    mapping: Optional[Mapping] = None
    region: Optional[Region] = None
    subscription: Optional[Subscription] = None


def next_event(connection: Connection, timeout: Optional[float]) -> Optional[Event]:
    """Client.next_event()."""

    def look(wait_ms: int) -> Optional[Event]:
        raw = _native.sized(_native.Event)
        with connection.guard.use("next_event"):
            status = connection.library.npu_ipc_next_event(connection.handle, wait_ms, byref(raw))
            if status == Status.NO_EVENT:
                return None
            connection.check("next_event", status)
            return Event(
                EventType(raw.type),
                connection.find(raw.mapping, Mapping),
                connection.find(raw.region, Region),
                connection.find(raw.subscription, Subscription),
            )

    return wait_in_slices(timeout, look)


def event_fd(connection: Connection) -> int:
    """Client.event_fd()."""
    with connection.guard.use("event_fd"):
        return int(connection.library.npu_ipc_event_fd(connection.handle))


class Events:
    """The client's events, oldest first, until it is closed: `for`, or `async for`.

    Each event goes to one of those that iterate: have one place that does.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[Event]:
        while True:
            try:
                event = next_event(self._connection, timeout=None)
            except Ended:
                return
            if event is not None:
                yield event

    async def __aiter__(self) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        try:
            descriptor = self._own_descriptor()
        except Ended:
            return
        try:
            while True:
                try:
                    event = next_event(self._connection, timeout=0)
                except Ended:
                    return
                if event is None:
                    await self._readable(loop, descriptor)
                else:
                    yield event
        finally:
            os.close(descriptor)

    def _own_descriptor(self) -> int:
        # A loop has one reader a descriptor, and the client closes its own when it ends.
        descriptor = event_fd(self._connection)
        if descriptor < 0:
            raise OutOfMemory("wait for events", Status.NO_MEMORY, "no descriptor could be made")
        return os.dup(descriptor)

    async def _readable(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        readable = asyncio.Event()
        loop.add_reader(descriptor, readable.set)

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the client
                loop.call_soon_threadsafe(readable.set)

        self._connection.wake_at_close.append(wake)
        try:
            if not self._connection.guard.closing:
                await readable.wait()
        finally:
            self._connection.wake_at_close.remove(wake)
            loop.remove_reader(descriptor)
