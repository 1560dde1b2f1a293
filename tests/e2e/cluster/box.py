"""A box of namespaces: what starts, is mounted or is made inside is gone when it ends.

Cgroups alone outlive it: they are made before, under a name of the run's own, and removed after.
"""

import contextlib
import os
import pathlib
import signal
import subprocess

from cluster.process import wait_until

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Runs in a new box, and ends with whoever started it.
COMMAND = ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--net", "--ipc", "--uts", "--fork",
           "--kill-child=KILL", "--mount-proc")
_EMPTY_DIRECTORIES = ("/run", "/var/lib/kubelet", "/var/lib/cni", "/var/lib/containerd",
                      "/var/lib/npu-ipc", "/var/log/pods", "/var/log/containers")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "kmsg")


def _hierarchies():
    """The mounted hierarchies, v1 and v2: /sys/fs/cgroup/memory and so on."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield pathlib.Path(where)


def _remove_tree(path):
    """Deepest first."""

    def removed():
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(folder)
        return True

    for folder, _, _ in os.walk(path, topdown=False):
        # The kernel lets go of a process that was killed a moment after it has ended, and says so to nobody.
        wait_until(removed, f"the last process in {folder} to be gone")


def _sweep(prefix):
    """Removes what a run that was killed has left."""
    for hierarchy in _hierarchies():
        for path in hierarchy.glob(f"{prefix}*"):
            if not pathlib.Path("/proc", path.name.removeprefix(prefix)).exists():
                _remove_tree(path)


@contextlib.contextmanager
def cgroup(prefix):
    """The name of a cgroup that every hierarchy has for as long as the block lasts: `prefix` and our pid. Those of
    runs that could not remove theirs are removed first."""
    _sweep(prefix)
    name = f"{prefix}{os.getpid()}"
    try:
        make_cgroup(name)
        yield name
    finally:
        remove_cgroup(name)


def make_cgroup(name):
    """In every hierarchy, for pods to run in."""
    for hierarchy in _hierarchies():
        path = hierarchy / name
        path.mkdir()
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (path / setting).exists():  # an empty cpuset takes no process
                (path / setting).write_text((path.parent / setting).read_text())


def remove_cgroup(name):
    """Of every hierarchy, with all below it, as soon as the last process of it has ended."""
    for hierarchy in _hierarchies():
        _remove_tree(hierarchy / name)


@contextlib.contextmanager
def interruptible():
    """The first SIGINT, SIGTERM or SIGHUP ends the block as SystemExit does; what cleans up then is left in peace."""

    def end(number, _):
        for each in _INTERRUPTS:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, end) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run(command):
    """Runs `command` in a new box and returns its exit code. Whatever is in the box ends before this does, and also
    when we are killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)  # until there is something to clean up
    box = subprocess.Popen([*COMMAND, *command], start_new_session=True,
                           preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
        return box.wait()
    finally:
        if box.poll() is None:
            _end(box)


def _end(box):
    """By its process 1: `unshare` waits for that, and the kernel lets it end as the last one of the box."""
    children = pathlib.Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text().split()
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    if not children:
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


def empty(directory):
    """Inside the box: nothing in that directory, and what is put there is gone with the box."""
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)


def furnish(node, addresses):
    """Inside the box: a host of its own called `node`, whose loopback interface has `addresses`."""
    for directory in _EMPTY_DIRECTORIES:
        empty(directory)
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
