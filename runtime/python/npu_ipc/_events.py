"""What a client is told unasked, by iteration or in an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, AsyncIterator, Iterator, NamedTuple, Optional

from npu_ipc._mapping import Mapping
from npu_ipc._region import Region
from npu_ipc._subscription import Subscription
from npu_ipc.errors import Ended, OutOfMemory
from npu_ipc.status import EventType, Status

if TYPE_CHECKING:
    from npu_ipc._client import Client


class Event(NamedTuple):
    type: EventType
    mapping: Optional[Mapping] = None
    region: Optional[Region] = None
    subscription: Optional[Subscription] = None


class Events:
    """The client's events, oldest first, until it is closed: `for`, or `async for`.

    Each event goes to one of those that iterate: have one place that does.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __iter__(self) -> Iterator[Event]:
        while True:
            try:
                event = self._client.next_event(timeout=None)
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
                    event = self._client.next_event(timeout=0)
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
        descriptor = self._client.event_fd()
        if descriptor < 0:
            raise OutOfMemory("wait for events", Status.NO_MEMORY, "no descriptor could be made")
        return os.dup(descriptor)

    async def _readable(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        readable = asyncio.Event()
        loop.add_reader(descriptor, readable.set)

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the client
                loop.call_soon_threadsafe(readable.set)

        self._client._wake_at_close.append(wake)
        try:
            if not self._client._guard.closing:
                await readable.wait()
        finally:
            self._client._wake_at_close.remove(wake)
            loop.remove_reader(descriptor)
