"""Releases of the chart, through Helm."""

import json
import os
import pathlib
import subprocess

import images

_CHART = pathlib.Path(__file__).resolve().parents[2] / "charts/npu-ipc"
_TIMEOUT = "120s"


class HelmError(Exception):
    """What Helm printed when it failed."""


def images_of_the_build():
    """Values: this build's images, which the node has."""
    local = {"tag": images.TAG, "pullPolicy": "Never"}
    return {"image": {"repository": images.name_of("npu-ipc"), **local},
            "simulator": {"image": {"repository": images.name_of("simulator"), **local}}}


def merged(*values):
    """Values, the later ones over the earlier."""
    result = {}
    for each in values:
        for name, value in each.items():
            both = isinstance(value, dict) and isinstance(result.get(name), dict)
            result[name] = merged(result[name], value) if both else value
    return result


class Release:
    """One release in a namespace of its own. `directory` is for Helm's own files."""

    def __init__(self, program, kubeconfig, name, namespace, directory):
        self.name = name
        self.namespace = namespace
        self.fullname = f"{name}-npu-ipc"
        self._command = [program, "--kubeconfig", kubeconfig, "--namespace", namespace]
        self._environment = {**os.environ, **{f"HELM_{kind}_HOME": f"{directory}/helm-{kind}".lower()
                                              for kind in ("CACHE", "CONFIG", "DATA")}}

    def run(self, *arguments, values=None):
        done = subprocess.run([*self._command, *arguments, *(["--values", "-"] if values else [])],
                              input=json.dumps(values) if values else None, capture_output=True, text=True,
                              env=self._environment, check=False)
        if done.returncode != 0:
            raise HelmError(f"helm {' '.join(map(str, arguments))}: {done.stderr.strip()} {done.stdout.strip()}")
        return done.stdout

    def install(self, values):
        """Returns when the objects are there; what may be unavailable during an update need not be ready."""
        return self.run("install", self.name, _CHART, "--create-namespace", "--wait", "--timeout", _TIMEOUT,
                        values=merged(images_of_the_build(), values))

    def upgrade(self, values):
        """Returns when the pods are of the next revision; the values before stay where none is given."""
        return self.run("upgrade", self.name, _CHART, "--reuse-values", "--wait", "--timeout", _TIMEOUT, values=values)

    def rollback(self):
        """To the revision before."""
        return self.run("rollback", self.name, "--wait", "--timeout", _TIMEOUT)

    def test(self):
        return self.run("test", self.name, "--timeout", _TIMEOUT)

    def uninstall(self):
        """Returns when the pods are gone."""
        return self.run("uninstall", self.name, "--wait", "--ignore-not-found", "--timeout", _TIMEOUT)

    def rendered(self, values):
        """The objects as YAML."""
        return self.run("template", self.name, _CHART, "--kube-version", "1.36.0", values=merged(images_of_the_build(), values))
