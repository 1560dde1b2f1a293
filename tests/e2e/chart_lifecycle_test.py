"""The chart on a node that has its driver: what its upgrade, its rollback, its pod's end and its removal do to a share."""

import os
import pathlib
import signal

import broker_account
import broker_http
import environment
import pod_program
from chart_test_case import NAMESPACE, ChartTestCase
from cluster.kubectl import pod
from cluster.process import wait_until
from helm import HelmError
from npus import COUNT, DRIVER, RESOURCE, wait_for_allocatable

_GROUP = {"npu-ipc.io/group": "weights"}
_KUBELET = pathlib.Path("/var/lib/kubelet/device-plugins")


class Lifecycle(ChartTestCase):

    VALUES = {"driver": {"directory": str(DRIVER)}}
    REPLACED = ("plugin", "broker")

    def run_program(self, role):
        self.create_pod(pod_program.example(role, role, annotations=_GROUP, resources={RESOURCE: 1}))
        return pod_program.PodProgram(self.node, self.kubectl.wait_for_phase(role, "Running"))

    def share(self):
        """Two pods, one of which has attached to the other's memory."""
        exporter, importer = self.run_program("exporter"), self.run_program("importer")
        exporter.step_to("published")
        importer.step_to("devices", "attached")
        return exporter, importer

    def use(self, exporter, importer):
        """What is attached is read and written, and both take leave of it through the broker."""
        pod_program.read_and_write(exporter, importer)
        pod_program.take_leave(exporter, importer)

    def uid(self):
        return self.daemons()["metadata"]["uid"]

    def wait_for_next_pod(self, before):
        """Returns its uid. Helm may be content while the one before is still ending."""
        wait_until(lambda: self.uid() != before and self.ready(), "the daemons' next pod to be ready")
        return self.uid()

    def test_the_daemons_pod_is_deleted_while_memory_is_shared(self):
        both = self.share()
        before = self.uid()
        self.kubectl.run("delete", "pod", "-n", NAMESPACE, self.daemons()["metadata"]["name"], "--wait=true")
        self.wait_for_next_pod(before)
        self.use(*both)

    def test_an_upgrade_and_a_rollback_while_memory_is_shared(self):
        both = self.share()
        before = self.uid()
        self.release.upgrade({"broker": {"config": {"log": {"level": "debug"}}}})
        upgraded = self.wait_for_next_pod(before)
        self.release.rollback()
        self.wait_for_next_pod(upgraded)
        self.use(*both)

    def test_the_kubelet_and_containerd_restart_while_memory_is_shared(self):
        both = self.share()
        self.node.restart_kubelet()
        self.node.restart_containerd()
        wait_for_allocatable(self.kubectl, self.node.name, RESOURCE, COUNT)
        self.use(*both)

    def test_the_api_server_is_away_while_memory_is_shared(self):
        both = self.share()
        control_plane = environment.control_plane
        control_plane.stop_api_server()
        self.addCleanup(wait_until, self.ready, "the daemons to be ready again")
        self.addCleanup(lambda: control_plane.api_server.running() or control_plane.start_api_server())
        self.use(*both)

    def test_a_node_is_drained_of_pods_that_share_and_keeps_the_daemons(self):
        self.share()
        before = self.uid()
        self.addCleanup(self.kubectl.run, "uncordon", self.node.name)
        # But for the pod that the token of the tests' own broker is bound to.
        self.kubectl.run("label", "pods", "--all", "-n", broker_account.NAMESPACE, "keep=yes")
        self.kubectl.run("drain", self.node.name, "--ignore-daemonsets", "--force", "--delete-emptydir-data",
                         "--pod-selector=keep!=yes", "--grace-period=1", "--timeout=60s")
        self.assertEqual([pod["metadata"]["name"] for pod in self.kubectl.list("pods")], [])
        self.assertEqual(self.uid(), before)
        wait_until(lambda: broker_http.metric(self.address(), "npu_ipc_broker_regions") == 0, "the regions to be gone")
        wait_until(lambda: broker_http.metric(self.address(), "npu_ipc_broker_grants") == 0, "the grants to be gone")

    def test_a_container_that_restarts_gets_the_library_that_it_had(self):
        manifest = pod("again", command=["sh", "-c", "sleep 2147483647"], resources={RESOURCE: 1}, restartPolicy="Always")
        self.create_pod(manifest)
        seen = self.kubectl.wait_for_phase("again", "Running")

        def library(seen):
            pid = self.node.process_of(seen["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://"))
            lines = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
            return next(line.split()[3] for line in lines if line.split()[4] == "/usr/local/lib/npu-ipc")

        before = library(seen)
        self.kubectl.run("delete", "pod", "-n", NAMESPACE, self.daemons()["metadata"]["name"], "--wait=true")
        os.kill(self.node.process_of(seen["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")),
                signal.SIGKILL)
        seen = self.kubectl.wait_for_object("pods", "again", lambda now: now["status"]["containerStatuses"][0].get(
            "restartCount") == 1 and "running" in now["status"]["containerStatuses"][0]["state"], "the container to restart")
        self.assertEqual(library(seen), before)
        wait_until(self.ready, "the daemons' next pod to be ready")

    def test_an_upgrade_with_a_mistake_changes_nothing(self):
        before = self.uid()
        with self.assertRaisesRegex(HelmError, "hostPID=false"):
            self.release.upgrade({"hostPID": False})
        self.assertEqual(self.uid(), before)

    def test_uninstalling_breaks_no_share_and_leaves_nothing_behind(self):
        exporter, importer = self.share()
        self.addCleanup(self.release.install, self.VALUES)
        self.release.uninstall()
        self.wait_until_gone()
        pod_program.read_and_write(exporter, importer)
        kinds = self.kubectl.run("api-resources", "--verbs=list,delete", "-o", "name").split()
        left = self.kubectl.run("get", ",".join(kind for kind in kinds if not kind.startswith("events")), "--all-namespaces",
                                "-l", "app.kubernetes.io/part-of=npu-ipc,app.kubernetes.io/managed-by=Helm", "-o", "name")
        self.assertEqual(left, "")
        self.assertEqual([*_KUBELET.glob("npu-ipc-*"), *pathlib.Path("/run/npu-ipc").iterdir()], [])
        labels = self.kubectl.get("node", self.node.name)["metadata"]["labels"]
        self.assertEqual([name for name in labels if name.startswith("npu-ipc.io/")], [])
        # The library that pods have, and what a broker that is installed again would have to know of them.
        self.assertEqual({path.name for path in pathlib.Path("/var/lib/npu-ipc").iterdir()}, {"lib", "state"})
