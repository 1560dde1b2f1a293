"""Seconds here, milliseconds in the C API."""

from __future__ import annotations

import math
import time
from typing import Callable, Optional, TypeVar

from npu_ipc._native import FOREVER
from npu_ipc.errors import InvalidArgument
from npu_ipc.status import Status

# A wait within C hears neither Ctrl-C nor the object's end in another thread: none is longer.
_SLICE = 0.2

_T = TypeVar("_T")


def milliseconds(seconds: Optional[float]) -> int:
    """At least 1, as 0 asks the C API for its default; None: for ever."""
    if seconds is None:
        return FOREVER
    if not seconds >= 0:
        raise InvalidArgument("wait", Status.INVALID_ARGUMENT, f"a timeout of {seconds} s")
    return int(min(max(math.ceil(seconds * 1000), 1), FOREVER - 1))


def wait_in_slices(timeout: Optional[float], look: Callable[[int], Optional[_T]]) -> Optional[_T]:
    """What `look(milliseconds)` finds before the timeout ends."""
    if timeout is not None:
        milliseconds(timeout)  # refuses what is no time
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
        found = look(math.ceil(max(left, 0) * 1000))
        if found is not None or left <= 0:
            return found
