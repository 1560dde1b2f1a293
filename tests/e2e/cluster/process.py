"""Daemons of the cluster, and waiting."""

import os
import pathlib
import select
import subprocess
import time

DEADLINE = 120  # seconds that any wait lasts before the test fails
_INTERVAL = 0.1


def wait_until(condition, what, deadline=DEADLINE, pause=time.sleep):
    """Returns the first true value of `condition()`. What it raises counts as not yet.

    It looks again and again, for what tells nobody that it has changed: an address that is not served yet, what is
    written to a log, a number among metrics. An object of the API server is watched (Kubectl.wait_for), and of a
    daemon's end the kernel tells (Daemon.wait).
    """
    end = time.monotonic() + deadline
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = f"last seen: {value!r}"
        except Exception as error:  # pylint: disable=broad-except
            last = error
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline} s for {what}; {last}")
        pause(_INTERVAL)


class Daemon:
    """A program that runs beside the tests, its output in a file. It can be ended and started again."""

    def __init__(self, name, command, log_directory, environment=None, ready_option=None):
        """`ready_option` names a descriptor to the program that it writes to when it serves: start() waits for that."""
        self.name = name
        self.command = [str(part) for part in command]
        self.log = pathlib.Path(log_directory) / f"{name}.log"
        self._environment = environment
        self._ready_option = ready_option
        self._process = None

    def start(self):
        if self._ready_option is None:
            self._spawn([])
            return self
        reader, writer = os.pipe()
        with open(reader, "rb") as ready:
            with open(writer, "wb"):
                self._spawn([self._ready_option, str(writer)], pass_fds=[writer])
            if not select.select([ready], [], [], DEADLINE)[0] or not ready.read():
                raise RuntimeError(f"{self.name} does not serve:\n{self.tail()}")
        return self

    def _spawn(self, more, **options):
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([*self.command, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             env=self._environment, **options)

    @property
    def pid(self):
        return self._process.pid

    def running(self):
        return self._process.poll() is None

    def wait_until(self, condition, what, deadline=DEADLINE):
        """As wait_until, but over at once when the daemon has ended."""

        def check():
            return not self.running() or condition()

        try:
            wait_until(check, what, deadline, pause=self._ends_within)
        except TimeoutError as error:
            raise TimeoutError(f"{self.name}: {error}\n{self.tail()}") from None
        if not self.running():
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")

    def tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self):
        """SIGTERM; the exit code."""
        self._process.terminate()
        return self.wait()

    def kill(self):
        self._process.kill()
        self.wait()

    def wait(self, deadline=DEADLINE):
        """Until it has ended; the exit code."""
        if not self._ends_within(deadline):
            raise TimeoutError(f"{self.name} has not ended within {deadline} s:\n{self.tail()}")
        return self._process.wait()

    def _ends_within(self, seconds):
        if not self.running():
            return True
        descriptor = os.pidfd_open(self.pid)
        try:
            return bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)
