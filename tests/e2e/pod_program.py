"""A program in a pod, led line by line; nothing of it needs the API server."""

import itertools
import os
import pathlib
import shlex

from cluster.kubectl import pod
from cluster.process import wait_until

_LINES = "/tmp/lines"
_exec_ids = itertools.count()


def manifest(name, *program, **options):
    """A pod that runs `program`, which reads the lines that PodProgram sends."""
    return pod(name, command=["sh", "-c", f"mkfifo -m 666 {_LINES}; exec {shlex.join(program)} <>{_LINES}"], **options)


def example(name, role, **options):
    """The same of npu-ipc-example in that role."""
    return manifest(name, "npu-ipc-example", role, "--wait", "300", "--step-by-step", **options)


class PodProgram:
    """What the container `main` of a pod runs now; `seen` is the pod as kubectl shows it."""

    def __init__(self, node, seen):
        self._node = node
        self.name = seen["metadata"]["name"]
        status = seen["status"]["containerStatuses"][0]
        self._container = status["containerID"].removeprefix("containerd://")
        directory = f"{seen['metadata']['namespace']}_{self.name}_{seen['metadata']['uid']}"
        self._log = pathlib.Path("/var/log/pods", directory, "main", f"{status['restartCount']}.log")
        self._pid = node.process_of(self._container)

    def send(self, line):
        path = f"/proc/{self._pid}/root{_LINES}"
        # It is the container that makes it.
        with open(wait_until(lambda: os.open(path, os.O_WRONLY), f"pod {self.name} to listen"), "w") as lines:
            lines.write(f"{line}\n")

    def step(self):
        """Lets the example go on to what it does next."""
        self.send("")

    def said(self):
        """The lines that it has printed."""
        return [line.split(" ", 3)[3] for line in self._log.read_text().splitlines()]

    def wait_for(self, words):
        """Until it has printed them."""

        def has_said_them():
            lines = self.said()
            if any(words in line for line in lines):
                return True
            raise LookupError(f"it has said: {lines}")

        wait_until(has_said_them, f"pod {self.name} to say '{words}'")

    def step_to(self, *words):
        """Lets the example go on, and waits for what it then says: a step for each."""
        for each in words:
            self.step()
            self.wait_for(each)

    def ask(self, line):
        """What a program that answers each line with one line says to this."""
        before = len(self.said())
        self.send(line)
        wait_until(lambda: len(self.said()) > before, f"pod {self.name} to answer '{line}'")
        return self.said()[before]

    def run(self, *command):
        """Another process in the container; what it printed. Fails as Node.ctr() does."""
        return self._node.ctr("tasks", "exec", "--exec-id", f"e2e-{next(_exec_ids)}", self._container, *command)


def read_and_write(exporter, *importers):
    """All of these examples read what the exporter wrote, and write what it expects of them."""
    for words in ("read", "wrote"):
        for importer in importers:
            importer.step_to(words)
    exporter.step_to("verified")


def take_leave(exporter, *importers):
    """The exporter withdraws what these examples have attached, and all have heard of it."""
    exporter.step()
    for importer in importers:
        importer.wait_for("asked to detach")
        importer.step_to("detached")
    exporter.wait_for("withdrawn")
