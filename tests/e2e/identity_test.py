"""Which pod the broker takes a process for, whatever kind of pod a real kubelet makes of it."""

import json

from cluster.kubectl import KubectlError, container, pod
from cluster_test_case import ClusterTestCase
from npus import RESOURCE

_GROUP = {"npu-ipc.io/group": "weights"}
_ONE = {RESOURCE: 1}
_CPU_AND_MEMORY = {"cpu": "1", "memory": "64Mi"}


class Identity(ClusterTestCase):

    def assert_identified(self, name, in_container="main"):
        """As that pod, and not as another or none."""
        try:
            said = self.kubectl.run("exec", name, "-c", in_container, "--",
                                    "npu-ipc-example", "importer", "--wait", "1")
        except KubectlError as error:  # there is nothing to import
            said = str(error)
        self.assertIn(f" pod=default/{name} groups=weights", said)

    def run_group_member(self, name, resources=None, **options):
        self.run_pod(name, resources={**_ONE, **(resources or {})}, annotations=_GROUP, **options)

    def test_every_quality_of_service(self):
        requests = {"BestEffort": {}, "Burstable": {"memory": "64Mi"}, "Guaranteed": _CPU_AND_MEMORY}
        for quality, resources in requests.items():
            with self.subTest(quality=quality):
                name = quality.lower()
                self.run_group_member(name, resources)
                self.assertEqual(self.kubectl.get("pod", name)["status"]["qosClass"], quality)
                self.assert_identified(name)

    def test_a_user_that_is_not_root(self):
        self.run_group_member("nobody", securityContext={"runAsUser": 65534, "runAsGroup": 65534})
        self.assert_identified("nobody")

    def test_user_ids_of_its_own(self):
        self.run_group_member("mapped", hostUsers=False)
        self.assertNotIn("4294967295", self.kubectl.exec("mapped", "cat", "/proc/self/uid_map"))
        self.assert_identified("mapped")

    def test_process_ids_of_the_host_or_of_the_whole_pod(self):
        self.run_group_member("host-pid", hostPID=True)
        self.assert_identified("host-pid")
        self.run_group_member("one-pid", shareProcessNamespace=True, beside=[container("other", resources=_ONE)])
        for each in ("main", "other"):
            self.assert_identified("one-pid", each)

    def test_a_static_pod(self):
        name = f"static-{self.node.name}"
        manifest = self.node.static_pods / "static.json"
        self.addCleanup(self.kubectl.delete_pod, name)
        self.addCleanup(manifest.unlink)
        manifest.write_text(json.dumps(pod("static", resources=_ONE, annotations=_GROUP)))
        self.kubectl.wait_for_phase(name, "Running")
        self.assert_identified(name)

    def test_a_pod_made_again_under_its_name_is_another(self):
        self.run_group_member("again")
        first = self.kubectl.get("pod", "again")["metadata"]["uid"]
        self.kubectl.delete_pod("again")
        self.run_group_member("again")
        self.assertNotEqual(self.kubectl.get("pod", "again")["metadata"]["uid"], first)
        self.assert_identified("again")
