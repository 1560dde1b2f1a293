"""A box of namespaces: what starts, is mounted or is made inside is gone when it ends.

Cgroups alone outlive it: they are made before, under a name of the run's own, and removed after.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_EMPTY_DIRECTORIES = ("/run", "/var/lib/kubelet", "/var/lib/cni", "/var/lib/containerd",
                      "/var/lib/npu-ipc", "/var/log/pods", "/var/log/containers")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "kmsg")


def _hierarchies():
    """The mounted hierarchies, v1 and v2: /sys/fs/cgroup/memory and so on."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield pathlib.Path(where)


def _remove_cgroup(path):
    """Deepest first. The kernel may take a moment to let go of a process that was killed."""
    for folder, _, _ in os.walk(path, topdown=False):
        deadline = time.monotonic() + 30
        while True:
            try:
                os.rmdir(folder)
                break
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


@contextlib.contextmanager
def cgroup(name):
    """A cgroup of that name in every hierarchy, for as long as the block lasts."""
    paths = [hierarchy / name for hierarchy in _hierarchies()]
    try:
        for path in paths:
            path.mkdir()
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (path / setting).exists():  # an empty cpuset takes no process
                    (path / setting).write_text((path.parent / setting).read_text())
        yield
    finally:
        for path in paths:
            _remove_cgroup(path)


def run(command):
    """Runs `command` in a new box and returns its exit code. Whatever is in the box ends with it, with us, and
    with SIGINT or SIGTERM to us."""
    box = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--net", "--ipc", "--uts",
                            "--fork", "--kill-child=KILL", "--mount-proc", *command], start_new_session=True)

    def end(number, _):
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return box.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        box.kill()
        box.wait()


def become_init():
    """Splits off a child, which is the one that returns; process 1 stays behind and reaps the orphans that daemons
    leave. The box ends with the child, with its exit code."""
    child = os.fork()
    if child == 0:
        return
    while True:
        ended, status = os.wait()
        if ended == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def _mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def _private_dev():
    """The simulator makes its device nodes there; the machine's own /dev never sees them."""
    dev = pathlib.Path("/run/dev")
    dev.mkdir()
    _mount("-t", "tmpfs", "-o", "nosuid,mode=755", "tmpfs", str(dev))
    for name in _DEVICES:
        (dev / name).touch()
        _mount("--bind", f"/dev/{name}", str(dev / name))
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    _mount("--bind", "/dev/pts", str(dev / "pts"))
    _mount("-t", "tmpfs", "-o", "nosuid,nodev,mode=1777", "tmpfs", str(dev / "shm"))
    (dev / "fd").symlink_to("/proc/self/fd")
    (dev / "ptmx").symlink_to("pts/ptmx")
    _mount("--move", str(dev), "/dev")


def furnish(node, addresses):
    """Inside the box: a host of its own called `node`, whose loopback interface has `addresses`."""
    for directory in _EMPTY_DIRECTORIES:
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)
    _private_dev()
    hosts = pathlib.Path("/run/hosts")
    hosts.write_text(f"127.0.0.1 localhost {node}\n")
    _mount("--bind", str(hosts), "/etc/hosts")
    _mount("--make-rshared", "/")  # else volumes with mount propagation fail
    subprocess.run(["hostname", node], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in addresses:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
