"""Objects of the C API end only when no other call uses them; here any thread may try."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import Iterator

from npu_ipc.errors import Ended, WrongProcess
from npu_ipc.status import Status


class Guard:
    """Counts the calls that use an object, and lets its end wait for them."""

    def __init__(self, ended_text: str) -> None:
        self._ended_text = ended_text
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._calls = 0
        self._ending = False
        self.ended = False

    @property
    def closing(self) -> bool:
        """Whether a call that waits should come back, as the object ends."""
        return self._ending or self.ended

    def check_process(self, call: str) -> None:
        """Before any lock is taken: after a fork another thread may hold it for ever."""
        if os.getpid() != self._pid:
            raise WrongProcess(
                call,
                Status.WRONG_PROCESS,
                f"made in process {self._pid}, and this is its child {os.getpid()}",
            )

    @contextmanager
    def use(self, call: str) -> Iterator[None]:
        self.check_process(call)
        with self._changed:
            if self.closing:
                raise Ended(call, Status.INVALID_ARGUMENT, self._ended_text)
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    @contextmanager
    def end(self, call: str) -> Iterator[None]:
        """Runs its body alone, which sets `ended` before the object is freed, and back if it was
        not: an exception that a signal's handler raises leaves an object unused, not used twice."""
        self.check_process(call)
        with self._changed:
            if self.closing:
                raise Ended(call, Status.INVALID_ARGUMENT, self._ended_text)
            self._ending = True
            self._changed.wait_for(lambda: self._calls == 0)
        try:
            yield
        finally:
            with self._changed:
                self._ending = False
