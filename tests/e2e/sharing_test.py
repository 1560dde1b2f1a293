"""Two unprivileged pods of a real cluster, and the memory of one of them."""

import json

from cluster_test_case import ClusterTestCase


class Sharing(ClusterTestCase):

    def run_example(self, name, role, annotations):
        """The pod ends with success when its half of the exchange was right: the pattern it expects was there."""
        self.create(name, npus=1, annotations=annotations, command=["npu-ipc-example", role, "--wait", "40"])

    def logs(self, *pods):
        return json.dumps({name: self.kubectl.run("logs", name).splitlines() for name in pods}, indent=1)

    def test_an_annotation_is_all_it_takes(self):
        group = {"npu-ipc.io/group": "weights"}
        self.run_example("exporter", "exporter", group)
        self.run_example("importer", "importer", group)
        ended = [self.kubectl.wait_for_phase(name, "Succeeded", "Failed") for name in ("exporter", "importer")]
        phases = [pod["status"]["phase"] for pod in ended]
        self.assertEqual(phases, ["Succeeded"] * 2, self.logs("exporter", "importer"))

    def test_a_pod_without_the_annotation_gets_nothing(self):
        self.run_example("stranger", "importer", {})
        ended = self.kubectl.wait_for_phase("stranger", "Succeeded", "Failed")
        self.assertEqual(ended["status"]["phase"], "Failed")
        self.assertIn("group", self.logs("stranger"))
