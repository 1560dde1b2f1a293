"""What the broker knows of pods, and from when on, with a real API server."""

import json
import pathlib

import environment
import pod_program
from cluster.kubectl import KubectlError, pod
from cluster.process import wait_until
from cluster_test_case import ClusterTestCase
from npus import RESOURCE

_KEY = "npu-ipc.io/group"
_GROUP = {_KEY: "weights"}
_ONE = {RESOURCE: 1}


class PodDirectoryTestCase(ClusterTestCase):

    def setUp(self):
        super().setUp()
        self.control_plane = environment.control_plane

    def run_program(self, name, role, annotations=None):
        self.create_pod(pod_program.example(name, role, annotations=annotations or _GROUP, resources=_ONE))
        return pod_program.PodProgram(self.node, self.kubectl.wait_for_phase(name, "Running"))

    def publish(self, **more):
        """A pod that has published the region `example`."""
        exporter = self.run_program("exporter", "exporter", **more)
        exporter.step_to("published")
        return exporter

    def use(self, exporter, *importers):
        """What is attached, until all have taken leave of it."""
        pod_program.read_and_write(exporter, *importers)
        pod_program.take_leave(exporter, *importers)

    def says(self, name):
        """What the broker takes a new process of that pod for."""
        try:
            return self.kubectl.exec(name, "npu-ipc-example", "importer", "--wait", "1")
        except KubectlError as error:
            return str(error)

    def wait_until_it_says(self, name, words):
        def said():
            if words in (text := self.says(name)):
                return True
            raise LookupError(text)

        wait_until(said, f"a process of pod {name} to be told '{words}'")


class Annotations(PodDirectoryTestCase):
    """Of pods that run."""

    def test_added_and_taken_away(self):
        self.run_pod("late", npus=1)
        self.wait_until_it_says("late", "NPU_IPC_NO_GROUP")
        self.kubectl.run("annotate", "pod", "late", f"{_KEY}=weights")
        self.wait_until_it_says("late", "groups=weights")
        self.kubectl.run("annotate", "pod", "late", f"{_KEY}-")
        self.wait_until_it_says("late", "NPU_IPC_NO_GROUP")

    def test_changed_to_another_group(self):
        self.publish()
        self.run_pod("mover", npus=1, annotations={_KEY: "gradients"})
        self.wait_until_it_says("mover", "groups=gradients")
        self.assertNotIn("attached", self.says("mover"))
        self.kubectl.run("annotate", "--overwrite", "pod", "mover", f"{_KEY}=weights")
        self.wait_until_it_says("mover", "attached")

    def test_changed_to_what_is_not_accepted(self):
        self.run_pod("worse", npus=1, annotations=_GROUP)
        self.wait_until_it_says("worse", "groups=weights")
        self.kubectl.run("annotate", "--overwrite", "pod", "worse", f"{_KEY}=weights:owner")
        self.wait_until_it_says("worse", "NPU_IPC_BAD_ANNOTATION")
        self.wait_for_event("Pod", "worse", "ShareRefused", lambda event: "owner" in event["message"])


class RightsTakenBack(PodDirectoryTestCase):
    """While the share is in use."""

    def share(self, **more):
        exporter = self.publish(**more)
        importer = self.run_program("importer", "importer")
        importer.step_to("devices", "attached")
        pod_program.read_and_write(exporter, importer)
        return importer

    def check_that_it_is_told(self, importer):
        importer.wait_for("the right is taken back")
        event = self.wait_for_event("Pod", "importer", "ShareRevoked")
        self.assertEqual(event["type"], "Warning")

    def test_the_importer_is_told_and_its_mapping_stays(self):
        importer = self.share()
        self.kubectl.run("annotate", "pod", "importer", f"{_KEY}-")
        self.check_that_it_is_told(importer)
        wait_until(lambda: self.npus.metric("npu_ipc_broker_revoked_mappings") == 1, "the mapping to be counted")
        importer.step_to("detached")
        wait_until(lambda: self.npus.metric("npu_ipc_broker_revoked_mappings") == 0, "the mapping to be gone")

    def test_where_the_exporter_wants_it_the_key_is_renewed(self):
        before = self.npus.metric("npu_ipc_broker_key_rotations_total", result="ok")
        importer = self.share(annotations={**_GROUP, "npu-ipc.io/revoke": "rotate"})
        self.kubectl.run("annotate", "pod", "importer", f"{_KEY}-")
        self.check_that_it_is_told(importer)
        wait_until(lambda: self.npus.metric("npu_ipc_broker_key_rotations_total", result="ok") > before,
                   "the key to be renewed")


class BrokerRestarts(PodDirectoryTestCase):

    def check_that_the_share_survives(self, restart):
        exporter = self.publish()
        early = self.run_program("early", "importer")
        early.step_to("devices", "attached")
        restart()
        wait_until(lambda: not self.npus.problems(), "the broker to be ready")
        late = self.run_program("late", "importer")
        late.step_to("devices", "attached")
        self.use(exporter, early, late)

    def test_while_a_share_is_in_use(self):
        self.check_that_the_share_survives(self.npus.restart_broker)

    def test_by_kill_9_while_a_share_is_in_use(self):
        def restart():
            self.npus.broker.kill()
            self.npus.broker.start()

        self.check_that_the_share_survives(restart)


class ApiServerAway(PodDirectoryTestCase):

    def stop_api_server(self):
        """With a pod that runs, of which only the API server will know that it is of the group."""
        self.run_pod("witness", npus=1)
        # The API server's versions are now beyond that of the last event of a pod.
        self.kubectl.run("annotate", "--overwrite", "node", self.node.name, f"e2e={self.id()}")
        self.control_plane.stop_api_server()
        self.addCleanup(self.start_api_server)

    def check_that_the_watch_goes_on(self):
        # The scheduler and the kubelet take their time to come back to a new API server: no new pod.
        self.kubectl.run("annotate", "pod", "witness", f"{_KEY}=weights")
        self.wait_until_it_says("witness", "groups=weights")

    def start_api_server(self):
        if not self.control_plane.api_server.running():
            self.control_plane.start_api_server()

    def test_known_pods_go_on_sharing(self):
        exporter = self.publish()
        importer = self.run_program("importer", "importer")
        importer.wait_for("identified")
        self.stop_api_server()
        importer.step_to("devices", "attached")
        self.use(exporter, importer)
        self.start_api_server()
        for name in ("exporter", "importer"):
            self.kubectl.wait_for_phase(name, "Succeeded")

    def test_a_pod_that_nobody_knows_is_refused_with_the_reason(self):
        name = f"unknown-{self.node.name}"
        manifest = self.node.static_pods / "unknown.json"
        self.addCleanup(self.kubectl.delete_pod, name)
        self.stop_api_server()
        self.addCleanup(manifest.unlink)
        manifest.write_text(json.dumps(pod("unknown", ["npu-ipc-example", "importer", "--wait", "1"], _ONE, _GROUP)))

        def reason():
            (log,) = pathlib.Path("/var/log/pods").glob(f"default_{name}_*/main/0.log")
            return log.read_text()

        said = wait_until(reason, "the process of the pod to be refused")
        self.assertIn("NPU_IPC_UNKNOWN_POD", said)
        self.assertIn("cannot connect", said)

    def test_the_watch_goes_on_where_its_version_is_forgotten(self):
        lists = self.npus.broker.log.read_text().count("listed pods")
        self.stop_api_server()
        self.control_plane.compact()
        self.start_api_server()
        self.check_that_the_watch_goes_on()
        self.assertGreater(self.npus.broker.log.read_text().count("listed pods"), lists)

    def test_a_token_that_was_replaced(self):
        self.account.rotate()
        self.stop_api_server()  # a watch that is open goes on with the token that it was opened with
        self.start_api_server()
        self.check_that_the_watch_goes_on()

    def test_a_broker_that_starts_meanwhile_grants_nothing_until_it_is_back(self):
        exporter = self.publish()
        known = self.run_program("known", "importer")
        known.step_to("devices")
        self.stop_api_server()
        self.npus.restart_broker()
        wait_until(lambda: "pods" in self.npus.problems(), "the broker to say that it cannot ask for pods")
        known.step()
        self.assertEqual(self.npus.metric("npu_ipc_broker_attaches_total", result="granted"), 0)
        self.start_api_server()
        known.wait_for("attached")
        self.use(exporter, known)
        self.assertEqual(self.npus.problems(), {})
