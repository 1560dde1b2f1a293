"""The chart, rendered by Helm."""

import functools
import json
import pathlib
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/npu-ipc"


@functools.cache
def built(script):
    """Where the program is that a script builds once."""
    return subprocess.run([ROOT / script], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def helm(*arguments, values=None):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        return subprocess.run([built("tests/chart/build-helm"), *arguments, "--values", file.name], capture_output=True,
                              text=True, check=False)


def template(values=None, *options, namespace="npu-ipc"):
    return helm("template", "npus", str(CHART), "--namespace", namespace, *options, values=values)


class Rendered:
    """The objects that a release has with these values."""

    def __init__(self, values=None, *options):
        done = template(values, *options)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        self.text = done.stdout
        self.objects = [each for each in yaml.safe_load_all(done.stdout) if each]

    def all(self, kind):
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind, name):
        found = [each for each in self.all(kind) if each["metadata"]["name"] == name]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} of {kind} {name}")
        return found[0]

    @property
    def pod(self):
        return self.one("DaemonSet", "npus-npu-ipc")["spec"]["template"]["spec"]

    def container(self, name):
        return next(each for each in self.pod["containers"] if each["name"] == name)

    def config(self, program):
        return json.loads(self.one("ConfigMap", "npus-npu-ipc")["data"][f"{program}.json"])
