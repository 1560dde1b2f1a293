"""What pip installs: a wheel of pure Python, of the project's version, typed."""

import os
import subprocess
import venv
import zipfile

import pytest
from conftest import BUILD, PYTHON, SOURCE

PACKAGE = SOURCE / "runtime/python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without a network, from a copy: setuptools writes beside the sources."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    subprocess.run(["cp", "-r", PACKAGE, source], check=True)
    subprocess.run(
        [PYTHON, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
        + ["--no-build-isolation", "--wheel-dir", directory, source],
        check=True,
    )
    (built,) = directory.glob("*.whl")
    return built


def test_the_wheel_is_pure_and_has_the_projects_version(wheel):
    assert wheel.name == f"npu_ipc-{os.environ['NPU_IPC_VERSION']}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    package = {name for name in names if name.startswith("npu_ipc/")}
    assert package == {
        str(path.relative_to(PACKAGE))
        for path in (PACKAGE / "npu_ipc").iterdir()
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert all(name in package or ".dist-info/" in name for name in names)


def test_the_wheel_needs_nothing_and_an_old_python(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
    metadata = archive.read(name).decode()
    assert "Requires-Python: >=3.8" in metadata
    assert "Requires-Dist" not in metadata


def test_pip_installs_it_into_a_virtual_environment(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel], check=True
    )
    environment = {"NPU_IPC_LIBRARY": str(BUILD / "lib/libnpu_ipc.so"), "PATH": os.environ["PATH"]}
    script = """
import npu_ipc
try: npu_ipc.Client(socket_path="/nowhere", timeout=0.01)
except npu_ipc.BrokerUnavailable as error: print(npu_ipc.__file__, error.status.name)
"""
    said = subprocess.check_output(
        [python, "-c", script], cwd=tmp_path, env=environment, universal_newlines=True
    )
    file, status = said.split()
    assert file.startswith(str(tmp_path / "venv"))
    assert status == "NO_BROKER"


def test_every_public_name_is_there_and_documented():
    import npu_ipc

    for name in npu_ipc.__all__ + ["list"]:
        public = getattr(npu_ipc, name)
        if name[0].islower():
            assert public.__doc__, name
        elif isinstance(public, type) and issubclass(public, npu_ipc.NpuIpcError):
            assert (
                public.__doc__
                and f"`{name}`" in (PACKAGE / "README.md").read_text()
                or (name in ("NpuIpcError", "OutOfMemory"))
            ), name


def mypy(*arguments, cwd, path=""):
    return subprocess.run(
        [PYTHON, "-m", "mypy", "--strict", "--cache-dir=/dev/null", *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "MYPYPATH": str(path)},
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )


def test_the_package_is_typed_strictly():
    checked = mypy("--python-version=3.8", "-p", "npu_ipc", cwd=PACKAGE)
    assert checked.returncode == 0, checked.stdout


def test_a_user_is_told_of_a_wrong_type(tmp_path):
    (tmp_path / "user.py").write_text(
        "import npu_ipc\n"
        "reveal_type(npu_ipc.attach('x').state)\n"
        "reveal_type([region.nbytes for region in npu_ipc.list()])\n"
        "npu_ipc.attach(1)\n"
    )
    said = mypy("user.py", cwd=tmp_path, path=PACKAGE).stdout
    assert 'Revealed type is "npu_ipc.status.MappingState"' in said
    assert 'Revealed type is "builtins.list[builtins.int]"' in said
    assert 'user.py:4: error: Argument 1 to "attach"' in said
