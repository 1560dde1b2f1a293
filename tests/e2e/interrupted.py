#!/usr/bin/env python3
"""What a run of main.py leaves behind that is ended early: nothing, whenever and however that is."""

import argparse
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import unittest

from cluster import box
from cluster.kubectl import pod
from cluster.process import DEADLINE, wait_until

_HERE = pathlib.Path(__file__).resolve().parent
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
_PREFIX = "npu-e2e-"


def _children(pid):
    return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()]


def _descendants(pid):
    """Each process below `pid`, as a pidfd that the caller closes, and the namespaces that they are in."""
    descriptors, namespaces = [], set()
    waiting = _children(pid)
    while waiting:
        each = waiting.pop()
        try:
            descriptors.append(os.pidfd_open(each))
            namespaces.update(os.readlink(f"/proc/{each}/ns/{name}") for name in _NAMESPACES)
            waiting += _children(each)
        except (ProcessLookupError, FileNotFoundError):
            continue  # it has just ended
    return descriptors, namespaces - {os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES}


def _namespaces():
    """Those that any process is in."""
    found = set()
    for link in pathlib.Path("/proc").glob("[0-9]*/ns/*"):
        try:
            found.add(os.readlink(link))
        except OSError:
            continue
    return found


def _cgroups(name):
    """Every one of that name."""
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    paths = [pathlib.Path(where, name) for _, where, kind, *_ in mounts if kind in ("cgroup", "cgroup2")]
    return [path for path in paths if path.exists()]


def _machine():
    """What a run could leave, beside processes, their namespaces and cgroups."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    # Who mounted first has the lower numbers; what is mounted where is the rest.
    return {"mounts": {" ".join(line.split()[3:]) for line in mounts},
            "interfaces": set(os.listdir("/sys/class/net")), "devices": set(os.listdir("/dev"))}


class Interrupted(unittest.TestCase):
    build_tree = _HERE.parents[1] / "build/release"

    def setUp(self):
        self.before = _machine()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.logs = pathlib.Path(directory.name)

    def start(self):
        """A run that is on its way, in a process group of its own."""
        self.run_ = subprocess.Popen(
            [_HERE / "main.py", "--build-tree", self.build_tree, "--log-directory", self.logs, "--shell"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,  # select() sees all of it
            start_new_session=True, env={**os.environ, "SHELL": "/bin/sh"})
        self.addCleanup(self.end)

    def end(self):
        self.run_.kill()
        self.run_.wait()
        for stream in (self.run_.stdin, self.run_.stdout, self.run_.stderr):
            stream.close()

    def read_line(self, stream, of):
        while select.select([stream], [], [], DEADLINE)[0]:
            line = stream.readline()
            self.assertTrue(line, f"ended before '{of}'")
            if of in line.decode():
                return
        self.fail(f"waited for '{of}'")

    def start_with_a_pod(self):
        self.start()
        self.read_line(self.run_.stderr, "cluster ready")
        self.run_.stdin.write(f"""kubectl create -f - <<'POD'
{json.dumps(pod("running"))}
POD
kubectl wait pod running --for=condition=Ready && echo 'the pod runs'
""".encode())
        self.read_line(self.run_.stdout, "the pod runs")

    def check_that_it_leaves_nothing(self, interrupt, code):
        processes, namespaces = _descendants(self.run_.pid)
        cgroup = f"{_PREFIX}{self.run_.pid}"
        self.assertTrue(namespaces and _cgroups(cgroup))
        interrupt()
        self.assertEqual(self.run_.wait(DEADLINE), code)
        for process in processes:
            self.assertTrue(select.select([process], [], [], DEADLINE)[0], "a process lives on")
            os.close(process)
        # That of process 1 is there until somebody has asked for its exit code.
        wait_until(lambda: not namespaces & _namespaces(), "the namespaces to be gone")
        if code == -signal.SIGKILL:
            with box.cgroup(_PREFIX):  # a later run removes what this one could not
                pass
        self.assertEqual(_cgroups(cgroup), [])
        after = _machine()
        self.assertEqual({name: after[name] - self.before[name] for name in after}, {name: set() for name in after})

    def test_by_control_c_while_a_pod_runs(self):
        self.start_with_a_pod()
        self.check_that_it_leaves_nothing(lambda: os.killpg(self.run_.pid, signal.SIGINT), 128 + signal.SIGINT)

    def test_by_sigterm_while_the_cluster_comes_up(self):
        self.start()
        wait_until((self.logs / "kube-apiserver.log").exists, "the API server to be started")
        self.check_that_it_leaves_nothing(self.run_.terminate, 128 + signal.SIGTERM)

    def test_by_kill_9_while_a_pod_runs(self):
        self.start_with_a_pod()
        self.check_that_it_leaves_nothing(self.run_.kill, -signal.SIGKILL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-tree", type=pathlib.Path, default=Interrupted.build_tree)
    options, rest = parser.parse_known_args()
    Interrupted.build_tree = options.build_tree.resolve()
    unittest.main(argv=[sys.argv[0], "--verbose", *rest])
