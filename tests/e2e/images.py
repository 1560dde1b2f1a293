"""The project's images, built from its Dockerfile with no registry at hand: buildah, and a base made from Debian's archive.

Built outside the box, as that needs the network; kept in the cache by what they are built from. The base, and the image of
what is needed to build, are made once; objects come from the machine's ccache.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys
import time

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_DOCKERFILE = "charts/image/Dockerfile"
_SOURCES = ("CMakeLists.txt", "CMakePresets.json", "LICENSE", ".dockerignore", "charts/image", "hal", "plugin", "runtime")
_BASE = "localhost/debian:bookworm-slim"  # what `FROM debian:bookworm-slim` finds
_DEPENDENCIES = "localhost/npu-ipc-dependencies"
TAG = "e2e"
TARGETS = ("npu-ipc", "simulator")  # stages of the Dockerfile
_MONTH = 30 * 24 * 3600


def name_of(target):
    """What the cluster calls it."""
    return {"npu-ipc": "localhost/npu-ipc", "simulator": "localhost/npu-ipc-simulator"}[target]


def _cache():
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "npu-ipc/images"


def _key():
    """Of every file that a build sees."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z", *_SOURCES], cwd=_ROOT, check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    digest = hashlib.sha256()
    for name in sorted(set(filter(None, listed.split("\0")))):
        path = _ROOT / name
        if path.is_file() and path.suffix != ".md":
            digest.update(f"{name}\0{path.stat().st_mode:o}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class _Buildah:

    def __init__(self, storage, log):
        # What it mounts, and does not unmount, is gone with each command.
        self._command = ["unshare", "--mount", "buildah", "--root", str(storage / "root"), "--runroot", str(storage / "run")]
        self._log = log

    def __call__(self, *arguments):
        done = subprocess.run([*self._command, *map(str, arguments)], stdout=subprocess.PIPE, stderr=self._log, text=True,
                              cwd=_ROOT, check=False)
        self._log.write(done.stdout.encode())
        if done.returncode != 0:
            tail = pathlib.Path(self._log.name).read_text(errors="replace").splitlines()[-30:]
            raise SystemExit(f"e2e cannot run: buildah {' '.join(map(str, arguments))} failed:\n" + "\n".join(tail))
        return done.stdout.strip()

    def has(self, image):
        return subprocess.run([*self._command, "inspect", "--type", "image", image], check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def build(self, target, tag):
        ccache = subprocess.run(["ccache", "--get-config", "cache_dir"], check=True, stdout=subprocess.PIPE, text=True)
        pathlib.Path(ccache.stdout.strip()).mkdir(parents=True, exist_ok=True)
        self("build", "--layers", "--isolation", "chroot", "--pull=never", "--network", "host", "--volume",
             f"{ccache.stdout.strip()}:/ccache", "--file", _DOCKERFILE, "--target", target, "--tag", tag, ".")


def _make_base(buildah, cache):
    archive = cache / "base.tar"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", archive], check=True)
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, archive)
    buildah("config", "--cmd", "bash", container)
    buildah("commit", "--quiet", "--rm", container, _BASE)
    archive.unlink()


def _build(cache, archives):
    began = time.monotonic()
    print("building the images (the first time takes minutes)", file=sys.stderr, flush=True)
    with (cache / "build.log").open("wb") as log:
        buildah = _Buildah(cache / "storage", log)
        if not buildah.has(_BASE):
            _make_base(buildah, cache)
        buildah.build("dependencies", _DEPENDENCIES)
        for target, archive in archives.items():
            name = f"{name_of(target)}:{TAG}"
            buildah.build(target, name)
            fresh = archive.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            buildah("push", "--quiet", name, f"oci-archive:{fresh}:{name}")
            fresh.rename(archive)
        # All that was on the way; what has a name stays, and with it the layers that the next build begins from.
        buildah("rmi", "--prune", "--force")
    print(f"built the images in {time.monotonic() - began:.0f} s", file=sys.stderr)


def build():
    """Builds what is missing. Returns the archive of each image by its target."""
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    key = _key()
    archives = {target: cache / f"{target}-{key}.tar" for target in TARGETS}
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(archive.exists() for archive in archives.values()):
            _build(cache, archives)
        for archive in archives.values():
            os.utime(archive)
        for old in cache.glob("*-*.tar"):
            with contextlib.suppress(FileNotFoundError):
                if old.stat().st_mtime < time.time() - _MONTH:
                    old.unlink()
    return archives


if __name__ == "__main__":
    for made in build().values():
        print(made)
