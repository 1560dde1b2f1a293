"""A second node: a box in the box, with a wire between the two.

What this file does inside the second box when it is run as a program, its class does not have to do from outside.
"""

import json
import pathlib
import shutil
import subprocess
import sys

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
from cluster import box
from cluster.control_plane import SERVICE_ADDRESS
from cluster.node import Node, address, pod_network

_FIRST = 1  # the number of the node whose box this is in
_WIRE = "wire"  # the interface inside


class SecondNode:
    """Used by one thread. Its `directory` is one that both boxes see."""

    def __init__(self, name, number, programs, directory, log_directory, cgroup):
        self.name = name
        self._number = number
        self._programs = {program: str(path) for program, path in programs.items()}
        self._directory = pathlib.Path(directory)
        self._logs = pathlib.Path(log_directory) / name
        self._cgroup = f"{cgroup}/{name}"
        self._box = None

    def start(self, kubeconfig, *image_archives):
        """Returns when its kubelet is healthy."""
        box.make_cgroup(self._cgroup)
        self._logs.mkdir(exist_ok=True)
        self._box = subprocess.Popen([*box.COMMAND, sys.executable, __file__], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
        self._wait_until_it_says("boxed")
        _ip("link", "add", self.name, "type", "veth", "peer", "name", _WIRE, "netns", str(self._box.pid))
        self.connect()
        print(json.dumps({"node": [self.name, self._number, self._programs, str(self._directory), str(self._logs),
                                   self._cgroup],
                          "start": [str(kubeconfig), *map(str, image_archives)]}), file=self._box.stdin, flush=True)
        self._wait_until_it_says("healthy")

    def _wait_until_it_says(self, word):
        if self._box.stdout.readline() != f"{word}\n":
            raise RuntimeError(f"{self.name} ended before it was {word}; see {self._logs}")

    def connect(self):
        _ip("link", "set", self.name, "up")
        _ip("route", "add", address(self._number), "dev", self.name, "src", address(_FIRST))
        _ip("route", "add", pod_network(self._number), "via", address(self._number))

    def disconnect(self):
        """Nothing reaches it any more, until connect()."""
        _ip("link", "set", self.name, "down")

    def stop(self):
        """At once, as when it loses its power; nothing of it stays."""
        _ip("link", "delete", self.name)
        self._box.stdin.close()
        self._box.wait()
        self._box.stdout.close()
        box.remove_cgroup(self._cgroup)
        shutil.rmtree(self._directory)


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def _main():
    """Inside: the node, for as long as there is somebody at the other end of standard input."""
    box.become_init()
    print("boxed", flush=True)
    asked = json.loads(sys.stdin.readline())
    name, number, programs, *rest = asked["node"]
    box.furnish(name, [address(number)])
    _ip("link", "set", _WIRE, "up")
    _ip("route", "add", address(_FIRST), "dev", _WIRE, "src", address(number))
    for far in (SERVICE_ADDRESS, pod_network(_FIRST)):
        _ip("route", "add", far, "via", address(_FIRST))
    node = Node(name, number, {program: pathlib.Path(path) for program, path in programs.items()}, *rest)
    node.start(*asked["start"])
    print("healthy", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _main()
