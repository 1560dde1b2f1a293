"""The image of the tests' pods: busybox and this build's programs with the libraries that they need, in no registry."""

import io
import json
import pathlib
import shutil
import subprocess
import tarfile

NAME = "localhost/npu-ipc-e2e:dev"


def _libraries(program):
    """What the loader would map for `program`, itself included."""
    listed = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in listed.splitlines():
        for word in line.split():
            if word.startswith("/"):
                yield pathlib.Path(word)


def _add_bytes(archive, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _add_link(archive, name, target):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _add_directory(archive, name, mode):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def _write_layer(path, programs, libraries):
    busybox = shutil.which("busybox")
    applets = subprocess.run([busybox, "--list"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    ours = {library.resolve() for library in libraries}
    needed = {library for file in (*programs, *libraries) for library in _libraries(file)
              if library.resolve() not in ours}
    with tarfile.open(path, "w", dereference=True) as layer:
        _add_directory(layer, "tmp", 0o1777)
        layer.add(busybox, "bin/busybox")
        for applet in applets:
            if applet != "busybox":
                _add_link(layer, f"bin/{applet}", "busybox")
        for program in programs:
            layer.add(program, f"usr/local/bin/{program.name}")
        for library in needed:
            # The loader looks in /lib first, wherever this machine has it.
            layer.add(library.resolve(), f"{library.parent.relative_to('/')}/{library.name}")


def write(path, directory, programs, libraries):
    """Writes the image to `path` (what `docker save` writes), with `programs` in /usr/local/bin and all that they and
    `libraries`, which are not in it, need. `directory` is for files on the way."""
    layer = pathlib.Path(directory) / "layer.tar"
    _write_layer(layer, programs, libraries)
    digest = subprocess.run(["sha256sum", layer], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]
    config = {"architecture": _architecture(), "os": "linux",
              "config": {"Env": ["PATH=/usr/local/bin:/bin",
                                 "LD_LIBRARY_PATH=/usr/local/lib/npu-ipc:/usr/local/Ascend/driver/lib64"],
                         "Cmd": ["sleep", "2147483647"]},
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}}
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as image:
        _add_bytes(image, "config.json", json.dumps(config).encode())
        _add_bytes(image, "manifest.json", json.dumps(manifest).encode())
        image.add(layer, "layer.tar")
    layer.unlink()


def _architecture():
    machine = subprocess.run(["uname", "-m"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {"x86_64": "amd64", "aarch64": "arm64"}[machine]
