"""The cluster's API, through kubectl."""

import codecs
import json
import os
import select
import subprocess
import time

from cluster import image
from cluster.process import DEADLINE, wait_until


class KubectlError(Exception):
    """What kubectl printed when it failed."""


class Kubectl:
    """Acts as the user of `kubeconfig`, in the namespace `default` unless told otherwise."""

    def __init__(self, program, kubeconfig):
        self.program = program
        self._command = [program, "--kubeconfig", kubeconfig]

    def run(self, *arguments, stdin=None):
        done = subprocess.run([*self._command, *arguments], input=stdin, capture_output=True, text=True,
                              timeout=DEADLINE, check=False)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr.strip()} {done.stdout.strip()}")
        return done.stdout

    def get(self, kind, name, *options):
        return json.loads(self.run("get", kind, name, "-o", "json", *options))

    def list(self, kind, *options):
        return json.loads(self.run("get", kind, "-o", "json", *options))["items"]

    def create(self, manifest):
        self.run("create", "-f", "-", stdin=json.dumps(manifest))

    def exec(self, pod, *command):
        return self.run("exec", pod, "--", *command)

    def my_rights(self, namespace):
        """What this user may do there: rules, as a role has them."""
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
                  "spec": {"namespace": namespace}}
        answer = self.run("create", "--validate=false", "-o", "json", "-f", "-", stdin=json.dumps(review))
        status = json.loads(answer)["status"]
        if status["incomplete"]:
            raise KubectlError(f"rights are not told in full: {status}")
        return status["resourceRules"]

    def delete_pod(self, name):
        """Returns when it is gone."""
        self.run("delete", "pod", name, "--ignore-not-found", "--grace-period=1", "--wait=true")

    def wait_for(self, kind, fields, condition, what, *options):
        """The first object of `kind` that `condition` takes, of those that the field selector `fields` selects; it
        need not be there yet. What `condition` raises counts as not yet."""
        last = None

        def watch():
            nonlocal last
            for seen in self._watch(end, kind, "--field-selector", fields, *options):
                try:
                    if condition(seen):
                        return seen
                    last = {"labels": seen["metadata"].get("labels"), **seen.get("status", seen)}
                except Exception as error:  # pylint: disable=broad-except
                    last = error
            raise LookupError(f"last seen: {last}")

        end = time.monotonic() + DEADLINE
        return wait_until(watch, what)  # a watch ends with the API server

    def wait_for_object(self, kind, name, condition, what, *options):
        return self.wait_for(kind, f"metadata.name={name}", condition, what, *options)

    def wait_for_phase(self, pod, *phases):
        return self.wait_for_object("pods", pod, lambda seen: seen["status"]["phase"] in phases,
                                    f"pod {pod} to be {' or '.join(phases)}")

    def _watch(self, end, *arguments):
        """Each state of each object, until `end` on the clock or until the API server ends it."""
        command = [*self._command, "get", *arguments, "--watch", "-o", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as watch:
            try:
                yield from _documents(_chunks(watch.stdout.fileno(), end))
            finally:
                watch.kill()


def _chunks(descriptor, end):
    """The text that can be read, as it comes."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    while select.select([descriptor], [], [], max(0, end - time.monotonic()))[0]:
        read = os.read(descriptor, 1 << 20)
        if not read:
            return
        yield decode(read)


def _documents(chunks):
    """The JSON documents in a text that comes in chunks, cut anywhere."""
    text = ""
    decode = json.JSONDecoder().raw_decode
    for chunk in chunks:
        text = (text + chunk).lstrip()  # what follows a document may come with the next one
        while text:
            try:
                document, length = decode(text)
            except ValueError:
                break  # the rest is on its way
            yield document
            text = text[length:].lstrip()


# Ends at once when it is told to: as process 1, sleep would have to be killed.
_FOREVER = ("sh", "-c", "trap 'exit 0' TERM; sleep 2147483647 & wait")


def container(name, command=_FOREVER, resources=None):
    """Unprivileged, in the tests' image."""
    return {"name": name, "image": image.NAME, "imagePullPolicy": "Never", "command": list(command),
            "resources": {"limits": resources or {}}}


def pod(name, command=_FOREVER, resources=None, annotations=None, beside=(), **spec):
    """The manifest of a pod of the container `main` and those in `beside`."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                     "containers": [container("main", command, resources), *beside], **spec}}


def deployment(template, replicas, strategy):
    """Of pods like `template`, under its name, with the label `app` of that name; the kubelet starts what ends again."""
    name = template["metadata"]["name"]
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "strategy": {"type": strategy},
                     "template": {"metadata": {"labels": labels, "annotations": template["metadata"]["annotations"]},
                                  "spec": {**template["spec"], "restartPolicy": "Always"}}}}
