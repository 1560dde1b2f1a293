"""The chart and `kubectl npu` where there is a second node."""

import json
import tarfile

import environment
from cluster.process import wait_until
from environment import NODE, SECOND_NODE
from kubectl_npu_test import KubectlNpuTestCase

_BOTH = {NODE, SECOND_NODE}
_GROUP = {"npu-ipc.io/group": "weights"}


def _on(node):
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


class TwoNodes(KubectlNpuTestCase):

    NODES = (NODE, SECOND_NODE)

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(environment.stop_second_node)
        environment.start_second_node()
        super().setUpClass()

    def run_exporters(self):
        """One on each node, of one name. Returns when both have published."""
        for node in self.NODES:
            self.run_example(f"on-{node}", "exporter", _GROUP, wait=300, **_on(node))
        wait_until(lambda: self.nodes_of("shares") == _BOTH, "the exporters' regions to be shown")

    def nodes_of(self, *arguments):
        return {item["node"] for item in self.items(*arguments)}

    def test_pods_of_each_node_share_and_are_told_apart(self):
        self.run_exporters()
        for node in self.NODES:
            self.run_example(f"with-{node}", "importer", _GROUP, **_on(node))
        for node in self.NODES:
            self.assert_succeeds(f"with-{node}")
            self.assert_succeeds(f"on-{node}")
            attached = self.kubectl.run("logs", f"with-{node}")
            self.assertIn(f"exporter=default/on-{node} ", attached)

    def test_every_command_shows_both_nodes(self):
        self.run_exporters()
        for node in self.NODES:
            self.run_example(f"refused-{node}", "importer", {"npu-ipc.io/group": "weights:owner"}, wait=1, **_on(node))
        for command in ("devices", "pods", "shares", "top", "version"):
            with self.subTest(command):
                self.assertEqual(self.nodes_of(command), _BOTH)
        wait_until(lambda: self.nodes_of("events") == _BOTH, "the refusals to be shown")
        self.assertEqual({item["subject"] for item in self.items("doctor")}, {f"node {node}" for node in self.NODES})
        self.npu("audit")
        self.assertEqual({item["node"] for item in self.items("devices", "--node", SECOND_NODE)}, {SECOND_NODE})
        archive = environment.work / "bundle.tar.gz"
        self.npu("bundle", "-f", str(archive))
        with tarfile.open(archive) as bundle:
            documents = {name for name in bundle.getnames() if name.endswith("/shares.json")}
        self.assertEqual(documents, {f"npu-ipc-bundle/nodes/{node}/shares.json" for node in self.NODES})

    def test_doctor_names_the_members_of_a_group_on_the_other_node(self):
        self.run_example("far", "exporter", _GROUP, wait=300, **_on(SECOND_NODE))
        self.run_example("near", "importer", _GROUP, wait=300, **_on(NODE))
        said = wait_until(lambda: self.doctor_of_an_attach_that_waits("near"), "the importer to wait")
        self.assertIn("no exporter on this node has published in its groups", said)
        self.assertRegex(said, f"default/far .* on node {SECOND_NODE}: out of reach")

    def doctor_of_an_attach_that_waits(self, pod):
        said = self.npu("doctor", pod, exit_code=1)
        if "attach waits" not in said:
            raise LookupError(said)
        return said

    def test_a_node_that_cannot_be_reached_is_named_and_the_other_shown(self):
        self.run_exporters()
        environment.second_node.disconnect()
        self.addCleanup(environment.second_node.connect)
        for command in ("devices", "pods", "shares", "top", "version"):
            with self.subTest(command):
                shown = self.run_npu(command, "-o", "json", "--timeout", "10")
                self.assertEqual(shown.returncode, 0, shown.stderr)
                self.assertIn(f"error: node {SECOND_NODE}: ", shown.stderr)
                self.assertNotIn(f"error: node {NODE}: ", shown.stderr)
                self.assertEqual({item["node"] for item in json.loads(shown.stdout)["items"]}, {NODE})
        diagnosed = self.run_npu("doctor", "--timeout", "10")
        self.assertEqual(diagnosed.returncode, 1)
        self.assertRegex(diagnosed.stdout, f"FAIL +daemon +pod .* on node {SECOND_NODE}: ")
        # And nothing but one that cannot be reached is a failure.
        self.assertEqual(self.run_npu("devices", "--node", SECOND_NODE, "--timeout", "10").returncode, 1)
