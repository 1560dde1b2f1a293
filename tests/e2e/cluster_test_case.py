"""What the tests against the cluster have in common."""

import unittest

import environment
from cluster.kubectl import pod
from npus import RESOURCE, wait_for_allocatable


class ClusterTestCase(unittest.TestCase):
    """Pods that a test runs are gone when it ends."""

    def setUp(self):
        self.kubectl = environment.kubectl
        self.node = environment.node
        self.npus = environment.npus

    def create(self, name, npus=0, **options):
        resources = {RESOURCE: npus} if npus else None
        self.kubectl.create(pod(name, resources=options.pop("resources", resources), **options))
        self.addCleanup(self.kubectl.delete_pod, name)

    def run_pod(self, name, npus=0, **options):
        """Returns when it runs."""
        self.create(name, npus, **options)
        return self.kubectl.wait_for_phase(name, "Running")

    def wait_for_allocatable(self, count):
        wait_for_allocatable(self.kubectl, environment.NODE, RESOURCE, count)

    def devices(self, name):
        """The NPUs' device nodes in the pod."""
        listed = self.kubectl.exec(name, "ls", "/dev").split()
        return {entry for entry in listed if entry.startswith("davinci") and entry != "davinci_manager"}
