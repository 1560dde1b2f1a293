"""The chart, installed with Helm on a cluster without NPUs: its simulator, its daemons, and pods that share by annotation."""

import json
import pathlib

import broker_http
import environment
import images
from chart_test_case import NAMESPACE, ChartTestCase, release
from cluster.kubectl import KubectlError, container, pod
from cluster_test_case import ClusterTestCase
from npus import RESOURCE, SHARE

_GROUP = "npu-ipc.io/group"
_OTHER = "other-team"


def _status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


class ChartWithExamples(ChartTestCase):
    """Pods of the node that run npu-ipc-example."""

    def run_example(self, name, role, annotations, namespace="default", wait=40, resources=None, **spec):
        """A pod that ends with success when its half of the exchange was right."""
        manifest = pod(name, command=["npu-ipc-example", role, "--wait", str(wait)],
                       resources=resources or {RESOURCE: 1}, annotations=annotations, **spec)
        self.kubectl.run("create", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
        self.addCleanup(self.kubectl.run, "delete", "pod", name, "-n", namespace, "--ignore-not-found", "--grace-period=1")

    def outcome(self, name, namespace="default"):
        """Its phase, and what it has said."""
        ended = self.kubectl.wait_for_object("pods", name, lambda seen: seen["status"]["phase"] in ("Succeeded", "Failed"),
                                             f"pod {name} to end", "-n", namespace)
        return ended["status"]["phase"], self.kubectl.run("logs", name, "-n", namespace)

    def assert_succeeds(self, name, namespace="default"):
        phase, said = self.outcome(name, namespace)
        self.assertEqual(phase, "Succeeded", said)

    def assert_shares(self, **options):
        """Two pods of one group."""
        for role in ("exporter", "importer"):
            self.run_example(role, role, {_GROUP: "weights"}, **options)
        for role in ("exporter", "importer"):
            self.assert_succeeds(role)


class Installed(ChartWithExamples):

    VALUES = {"simulator": {"enabled": True}, "broker": {"config": {"policy": {"crossNamespace": True}}}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        environment.kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _OTHER}})
        cls.addClassCleanup(environment.kubectl.run, "delete", "namespace", _OTHER)

    def test_two_unprivileged_pods_share_by_annotation_alone(self):
        self.assert_shares()

    def test_helm_test_shares_memory_between_two_pods(self):
        self.assertIn("Succeeded", self.release.test())
        self.assertEqual(self.kubectl.list("jobs", "-n", NAMESPACE), [])

    def test_the_node_has_the_devices_and_says_so(self):
        node = self.kubectl.get("node", self.node.name)
        self.assertEqual(node["status"]["allocatable"][RESOURCE], "8")
        self.assertEqual(node["status"]["allocatable"][SHARE], "4096")
        self.kubectl.wait_for_object("nodes", self.node.name, lambda seen: seen["metadata"]["labels"].get(
            "npu-ipc.io/npu.chip") == "910B3", "the label of the chip")

    def test_namespaces_share_where_both_ask(self):
        self.run_example("lender", "exporter", {_GROUP: "lent", "npu-ipc.io/allow-namespaces": _OTHER})
        self.run_example("borrower", "importer", {_GROUP: "default/lent"}, _OTHER)
        self.assert_succeeds("borrower", _OTHER)
        self.assert_succeeds("lender")

    def test_namespaces_do_not_share_where_one_does_not(self):
        self.run_example("keeper", "exporter", {_GROUP: "kept"}, wait=15)
        self.run_example("thief", "importer", {_GROUP: "default/kept"}, _OTHER, wait=5)
        phase, _ = self.outcome("thief", _OTHER)
        self.assertEqual(phase, "Failed")

    def test_a_pod_without_the_annotation_is_refused(self):
        self.run_example("stranger", "importer", {}, wait=5)
        phase, said = self.outcome("stranger")
        self.assertEqual(phase, "Failed")
        self.assertIn(_GROUP, said)

    def test_a_wrong_annotation_is_an_event_on_the_pod(self):
        self.run_example("misspelt", "importer", {_GROUP: "weights:owner"}, wait=5)
        event = self.wait_for_event("Pod", "misspelt", "ShareRefused")
        self.assertIn("owner", event["message"])
        self.assertEqual(self.outcome("misspelt")[0], "Failed")

    def test_a_sidecar_with_the_marker_is_known_and_told_what_it_lacks(self):
        # With the vendor's library, as an image with CANN has it, and without what a container with an NPU is given.
        sidecar = {**container("sidecar", resources={SHARE: 1}), "image": f"{images.name_of('simulator')}:{images.TAG}",
                   "env": [{"name": "LD_LIBRARY_PATH", "value": "/usr/local/lib/npu-ipc-sim"}]}
        self.create("with-sidecar", npus=1, annotations={_GROUP: "weights"}, beside=[sidecar])
        self.kubectl.wait_for_phase("with-sidecar", "Running")
        with self.assertRaises(KubectlError) as refused:
            self.kubectl.run("exec", "with-sidecar", "-c", "sidecar", "--", "npu-ipc-example", "importer", "--wait", "1")
        self.assertIn("pod=default/with-sidecar groups=weights", str(refused.exception))
        self.assertIn("no simulated driver", str(refused.exception))

    def test_user_ids_of_its_own_are_told_why_the_devices_do_not_open(self):
        # As the driver makes them: 0660, and its user's.
        for role in ("exporter", "importer"):
            with self.subTest(role):
                self.run_example(role, role, {_GROUP: "weights"}, wait=5, hostUsers=False)
                phase, said = self.outcome(role)
                self.assertEqual(phase, "Failed")
                self.assertIn(f"pod=default/{role} groups=weights", said)
                self.assertRegex(said, "cannot open /dev/davinci[0-7]: Permission denied; "
                                       "is the device given to this container, and to this user")

    def test_the_broker_has_no_capability_and_the_device_plugin_no_token(self):
        status = _status(self.pid_of("npu-ipc-broker"))
        for which in ("CapEff", "CapPrm", "CapBnd"):
            self.assertEqual(int(status[which], 16), 0, which)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        token = "var/run/secrets/kubernetes.io/serviceaccount/token"
        roots = {name: pathlib.Path(f"/proc/{self.pid_of(name)}/root") for name in ("npu-ipc-broker", "npu-device-plugin")}
        self.assertTrue((roots["npu-ipc-broker"] / token).exists())
        self.assertFalse((roots["npu-device-plugin"] / token).exists())

    def test_what_the_pod_network_sees_is_metrics_and_probes(self):
        self.assertEqual(broker_http.problems(self.address()), {})
        self.assertEqual(broker_http.metric(self.address(), "npu_ipc_devices", health="healthy"), 8)

    def test_the_image_has_no_shell(self):
        name = self.daemons()["metadata"]["name"]
        with self.assertRaisesRegex(KubectlError, "no such file|not found"):
            self.kubectl.run("exec", "-n", NAMESPACE, name, "-c", "npu-ipc-broker", "--", "sh")
        self.assertIn("npu-ipc-broker 0", self.kubectl.run("exec", "-n", NAMESPACE, name, "-c", "npu-ipc-broker", "--",
                                                            "npu-ipc-broker", "--version"))


class BrokerAlone(ChartWithExamples):
    """Beside the device plugin of somebody else."""

    VALUES = {"devices": {"enabled": False}}
    REPLACED = ("broker",)

    def test_pods_that_ask_for_the_marker_beside_their_npu_share(self):
        self.assert_shares(resources={RESOURCE: 1, SHARE: 1})

    def test_it_is_ready_without_a_device_plugin_of_ours(self):
        self.assertEqual([each["name"] for each in self.daemons()["spec"]["containers"]], ["npu-ipc-broker"])
        self.assertEqual(broker_http.problems(self.address()), {})


class UserNamespaces(ChartWithExamples):

    VALUES = {"simulator": {"enabled": True, "deviceMode": "0666"}}

    def test_pods_with_user_ids_of_their_own_share(self):
        self.assert_shares(hostUsers=False)


class Accepted(ClusterTestCase):
    """Every value set, as the API server would take it: unknown fields are errors, and expressions are compiled."""

    def setUp(self):
        super().setUp()
        self.release = release("trial")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self.kubectl.run("apply", "-f", "-", stdin=json.dumps(namespace))  # uninstalling a release leaves its own

    def assert_taken(self, text):
        self.kubectl.run("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)

    def test_what_renders(self):
        for values in ({}, {"devices": {"enabled": False}}, {"simulator": {"enabled": True, "node": "910c"}},
                       {"selinux": {"enabled": True}}, {"networkPolicy": {"enabled": True}},
                       {"metrics": {"dashboard": {"enabled": True}}}, {"fullnameOverride": "else"}):
            with self.subTest(values=values):
                self.assert_taken(self.release.rendered(values))

    def test_the_manifests(self):
        root = pathlib.Path(__file__).resolve().parents[2] / "manifests"
        for folder in ("base", "overlays/910b", "overlays/910c", "overlays/broker-only", "overlays/simulator"):
            with self.subTest(folder=folder):
                rendered = self.kubectl.run("kustomize", str(root / folder))
                # The tests' cluster has the namespace npu-ipc, and rights of a broker in it.
                others = [text for text in rendered.split("\n---\n") if "kind: Namespace\n" not in text]
                self.assert_taken("\n---\n".join(others).replace("namespace: npu-ipc\n", f"namespace: {NAMESPACE}\n")
                                  .replace("name: npu-ipc", "name: trial"))
