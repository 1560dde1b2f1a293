"""The cluster's API, through kubectl."""

import json
import subprocess

from cluster import image
from cluster.process import DEADLINE, wait_until


class KubectlError(Exception):
    """What kubectl printed when it failed."""


class Kubectl:
    """Acts as the user of `kubeconfig`, in the namespace `default` unless told otherwise."""

    def __init__(self, program, kubeconfig):
        self._command = [program, "--kubeconfig", kubeconfig]

    def run(self, *arguments, stdin=None):
        done = subprocess.run([*self._command, *arguments], input=stdin, capture_output=True, text=True,
                              timeout=DEADLINE, check=False)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()} {done.stdout.strip()}")
        return done.stdout

    def get(self, kind, name, *options):
        return json.loads(self.run("get", kind, name, "-o", "json", *options))

    def create(self, manifest):
        self.run("create", "-f", "-", stdin=json.dumps(manifest))

    def exec(self, pod, *command):
        return self.run("exec", pod, "--", *command)

    def delete_pod(self, name):
        """Returns when it is gone."""
        self.run("delete", "pod", name, "--ignore-not-found", "--grace-period=1", "--wait=true")

    def pods(self):
        return json.loads(self.run("get", "pods", "-A", "-o", "json"))

    def wait_for_phase(self, pod, *phases):
        def reached():
            seen = self.get("pod", pod)
            if seen["status"]["phase"] in phases:
                return seen
            raise KubectlError(json.dumps(seen["status"]))

        return wait_until(reached, f"pod {pod} to be {' or '.join(phases)}")


def pod(name, command=("sleep", "2147483647"), resources=None, annotations=None, **spec):
    """The manifest of a pod of one container, unprivileged, in the tests' image."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{
                "name": "main", "image": image.NAME, "imagePullPolicy": "Never", "command": list(command),
                "resources": {"limits": resources or {}}}], **spec}}
