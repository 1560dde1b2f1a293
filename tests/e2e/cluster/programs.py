"""The cluster's programs, built from Go modules into a cache outside the tree (tests/go/build)."""

import pathlib
import re
import shutil
import subprocess

_E2E = pathlib.Path(__file__).resolve().parent.parent
_BUILD = _E2E.parent / "go/build"
_BUILD_HELM = _E2E.parent / "chart/build-helm"
_CONTAINERD = "github.com/containerd/containerd/v2"
CONTROL_PLANE = "1.36"  # minor version
KUBELETS = sorted(folder.name.removeprefix("kubernetes-") for folder in _E2E.glob("kubernetes-*"))  # minor versions
_CONTROL_PLANE_PROGRAMS = ("kube-apiserver", "kube-scheduler", "kubectl", "kube-controller-manager")
_FROM_DEBIAN = ("etcd", "busybox", "openssl", "ip", "unshare", "setpriv", "mmdebstrap", "buildah")


def _build(module, package, *options):
    # With process ids of its own, so that a compiler does not go on when we are ended.
    contained = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL"]
    built = subprocess.run([*contained, _BUILD, *options, _E2E / module, package], check=True, stdout=subprocess.PIPE,
                           text=True)
    return pathlib.Path(built.stdout.strip())


def _pinned(module, package):
    """The version of `package` in the go.mod of `module`."""
    text = (_E2E / module / "go.mod").read_text()
    return re.search(rf"{re.escape(package)} (v[0-9.]+)", text).group(1)


def _kubernetes(module, names):
    version = _pinned(module, "k8s.io/kubernetes")
    major, minor, _ = version[1:].split(".")
    variables = {"k8s.io/component-base/version.gitVersion": version,
                 "k8s.io/component-base/version.gitMajor": major,
                 "k8s.io/component-base/version.gitMinor": minor,
                 "k8s.io/client-go/pkg/version.gitVersion": version}  # else the node reports v0.0.0-master
    flags = " ".join(f"-X {name}={value}" for name, value in variables.items())
    for name in names:
        yield _build(module, f"k8s.io/kubernetes/cmd/{name}", "--ldflags", flags)


def build(kubelet=CONTROL_PLANE):
    """Builds what is missing. Returns the path of each program by its name. `kubelet` is the minor version of that one.
    Needs the network, so: outside the box."""
    missing = [name for name in _FROM_DEBIAN if not shutil.which(name)]
    if missing or not pathlib.Path("/usr/lib/cni/bridge").exists():
        raise SystemExit(f"e2e cannot run: missing {missing or 'CNI plugins'}; run tests/install-packages")
    paths = list(_kubernetes(f"kubernetes-{CONTROL_PLANE}", _CONTROL_PLANE_PROGRAMS))
    paths += _kubernetes(f"kubernetes-{kubelet}", ["kubelet"])
    version = _pinned("containerd", _CONTAINERD)
    for name in ("containerd", "containerd-shim-runc-v2", "ctr"):
        flags = f"-X {_CONTAINERD}/version.Version={version}"
        paths.append(_build("containerd", f"{_CONTAINERD}/cmd/{name}", "--ldflags", flags))
    helm = subprocess.run([_BUILD_HELM], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    paths.append(pathlib.Path(helm))
    paths.append(_build("runc", "github.com/opencontainers/runc", "--cgo", "--tags", "seccomp"))
    return {path.name: path for path in paths}
