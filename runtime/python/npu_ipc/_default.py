"""The functions of the package itself: those of a client that is opened at the first call.

Each process has one; a forked child opens its own.
"""

from __future__ import annotations

import os
import threading
from typing import List, Optional, Union

from npu_ipc._client import Client, Identity
from npu_ipc._events import Event, Events
from npu_ipc._mapping import Mapping
from npu_ipc._memory import DeviceMemory, Memory
from npu_ipc._region import Region
from npu_ipc._subscription import RegionDescription, Subscription

_lock = threading.Lock()
_client: Optional[Client] = None


def _reset_in_child() -> None:
    global _lock, _client
    _lock = threading.Lock()
    _client = None


os.register_at_fork(after_in_child=_reset_in_child)


def client() -> Client:
    """The default client, opened anew if it was closed."""
    global _client
    with _lock:
        if _client is None or _client.closed:
            _client = Client()
        return _client


def close() -> None:
    """Ends the default client, as Client.close() does. Nothing where there is none."""
    global _client
    with _lock:
        closing, _client = _client, None
    if closing is not None:
        closing.close()


def empty(nbytes: int) -> Memory:
    """Device memory that can be published: a whole allocation, on this thread's device.

    Needs no broker. VendorError (107002: the thread has no device set), NoVendorLibrary.
    """
    return Memory(nbytes)


def whoami() -> Identity:
    return client().whoami()


def publish(
    name: str,
    memory: Union[int, DeviceMemory],
    nbytes: Optional[int] = None,
    *,
    group: Optional[str] = None,
    view_offset: int = 0,
    view_nbytes: int = 0,
) -> Region:
    return client().publish(
        name, memory, nbytes, group=group, view_offset=view_offset, view_nbytes=view_nbytes
    )


def attach(name: str, *, group: Optional[str] = None, timeout: Optional[float] = 10.0) -> Mapping:
    return client().attach(name, group=group, timeout=timeout)


def list(prefix: str = "", *, group: Optional[str] = None) -> List[RegionDescription]:
    return client().list(prefix, group=group)


def subscribe(
    prefix: str = "",
    *,
    group: Optional[str] = None,
    admit_ahead: bool = False,
    max_waiting: int = 0,
) -> Subscription:
    return client().subscribe(prefix, group=group, admit_ahead=admit_ahead, max_waiting=max_waiting)


def next_event(timeout: Optional[float] = None) -> Optional[Event]:
    return client().next_event(timeout)


def events() -> Events:
    return client().events()


for _function in (whoami, publish, attach, list, subscribe, next_event, events):
    _function.__doc__ = getattr(Client, _function.__name__).__doc__
