"""What the broker knows of pods, and from when on, with a real API server."""

import environment
import pod_program
from cluster_test_case import ClusterTestCase
from npus import RESOURCE

_GROUP = {"npu-ipc.io/group": "weights"}


class PodDirectoryTestCase(ClusterTestCase):

    def setUp(self):
        super().setUp()
        self.control_plane = environment.control_plane

    def run_program(self, name, role, annotations):
        self.create_pod(pod_program.manifest(name, role, annotations=annotations, resources={RESOURCE: 1}))
        return pod_program.PodProgram(self.node, self.kubectl.wait_for_phase(name, "Running"))

    def stop_api_server(self):
        self.control_plane.stop_api_server()
        self.addCleanup(self.start_api_server)

    def start_api_server(self):
        if not self.control_plane.api_server.running():
            self.control_plane.start_api_server()


class ApiServerAway(PodDirectoryTestCase):

    def test_known_pods_go_on_sharing(self):
        exporter = self.run_program("exporter", "exporter", _GROUP)
        importer = self.run_program("importer", "importer", _GROUP)
        self.npus.know_pods(self.kubectl.pods())
        exporter.step()
        exporter.wait_for("published")
        importer.step()
        importer.wait_for("devices")
        self.stop_api_server()
        for program, words in ((importer, "attached"), (importer, "read"), (importer, "wrote"), (exporter, "verified"),
                               (exporter, ""), (importer, "detached")):
            program.step()
            program.wait_for(words)
        exporter.wait_for("withdrawn")
        self.start_api_server()
        for name in ("exporter", "importer"):
            self.kubectl.wait_for_phase(name, "Succeeded")
