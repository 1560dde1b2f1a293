"""What the tests against the cluster have in common."""

import unittest

import environment
from cluster.kubectl import pod
from npus import RESOURCE, SHAPES, wait_for_allocatable


class ClusterTestCase(unittest.TestCase):
    """Pods that a test runs are gone when it ends."""

    def setUp(self):
        self.kubectl = environment.kubectl
        self.node = environment.node
        self.account = environment.account
        self.npus = environment.npus

    def create(self, name, npus=0, resource=RESOURCE, **options):
        resources = {resource: npus} if npus else None
        self.create_pod(pod(name, resources=options.pop("resources", resources), **options))

    def create_pod(self, manifest):
        self.kubectl.create(manifest)
        self.addCleanup(self.kubectl.delete_pod, manifest["metadata"]["name"])

    def run_pod(self, name, npus=0, **options):
        """Returns when it runs."""
        self.create(name, npus, **options)
        return self.kubectl.wait_for_phase(name, "Running")

    def wait_until_it_waits(self, name):
        """Until the scheduler says that the node has no NPU left for the pod."""
        self.kubectl.wait_for_object(
            "pods", name, lambda seen: seen["status"]["phase"] == "Pending" and any(
                f"Insufficient {RESOURCE}" in condition.get("message", "")
                for condition in seen["status"]["conditions"]), f"pod {name} to wait for {RESOURCE}")

    def wait_for_allocatable(self, count, resource=RESOURCE):
        wait_for_allocatable(self.kubectl, environment.NODE, resource, count)

    def wait_for_event(self, kind, name, reason, condition=lambda event: True):
        fields = f"involvedObject.kind={kind},involvedObject.name={name},reason={reason}"
        return self.kubectl.wait_for("events", fields, condition, f"{reason} on {kind} {name}")

    def become(self, shape):
        """Another kind of node until the test ends. Returns when it offers its NPUs."""
        self.addCleanup(self.wait_for_allocatable, *SHAPES["910b"])
        self.addCleanup(self.npus.become, "910b")
        self.npus.become(shape)
        self.wait_for_allocatable(*SHAPES[shape])

    def devices(self, name):
        """The NPUs' device nodes in the pod."""
        listed = self.kubectl.exec(name, "ls", "/dev").split()
        return {entry for entry in listed if entry.startswith("davinci") and entry != "davinci_manager"}
