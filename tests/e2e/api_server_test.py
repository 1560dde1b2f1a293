"""What the broker tells a real API server, with the rights of its service account alone."""

from broker_account import USER
from cluster.kubectl import Kubectl, KubectlError
from cluster.process import wait_until
from cluster_test_case import ClusterTestCase
from npus import COUNT

_PREFIX = "npu-ipc.io/"
_910B = {"npu.count": "8", "npu.product": "Ascend910B", "npu.chip": "910B3", "npu.memory": "65536",
         "npu.topology": "HCCS", "driver.version": "25.5.2"}
_BOX16 = {**_910B, "npu.count": "16", "npu.chip": "910B2C", "npu.topology": "HCCS-PHB-PIX-SYS"}


def _labels_of_ours(node):
    return {name.removeprefix(_PREFIX): value for name, value in node["metadata"].get("labels", {}).items()
            if name.startswith(_PREFIX)}


class Labels(ClusterTestCase):

    def wait_for_labels(self, expected):
        self.kubectl.wait_for_object("nodes", self.node.name, lambda node: _labels_of_ours(node) == expected,
                                     f"the node's labels to be {expected}")

    def test_the_node_says_what_it_has(self):
        self.wait_for_labels(_910B)

    def test_another_kind_of_node_has_other_labels(self):
        self.become("910b-box16")
        self.wait_for_labels(_BOX16)

    def test_a_node_whose_driver_is_gone_says_so(self):
        self.addCleanup(self.wait_for_labels, _910B)
        self.addCleanup(self.npus.become, "910b")
        self.npus.plugin.stop()
        self.npus.driver.stop()
        self.npus.plugin.start()
        self.wait_for_labels({"npu.count": "0"})
        self.wait_for_event("Node", self.node.name, "NoDevices")

    def test_what_somebody_set_wrongly_is_put_right_and_what_is_not_ours_stays(self):
        self.kubectl.run("label", "--overwrite", "node", self.node.name, f"{_PREFIX}npu.count=99", "rack=7")
        self.addCleanup(self.kubectl.run, "label", "node", self.node.name, "rack-")
        self.npus.restart_broker()
        self.wait_for_labels(_910B)
        self.assertEqual(self.kubectl.get("node", self.node.name)["metadata"]["labels"]["rack"], "7")


class Rights(ClusterTestCase):
    """What a broker that was taken over could do."""

    def setUp(self):
        super().setUp()
        self.broker = Kubectl(self.kubectl.program, self.account.kubeconfig)
        self.kubectl.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "other"}})
        self.addCleanup(self.kubectl.run, "delete", "node", "other")
        wait_until(self.policy_is_in_force, "the policy to be in force")

    def policy_is_in_force(self):
        try:
            self.broker.run("label", "node", "other", f"{_PREFIX}x=1", "--dry-run=server")
        except KubectlError:
            return True
        return False

    def assert_refused(self, reason, *command):
        with self.subTest(command=command), self.assertRaisesRegex(KubectlError, reason):
            self.broker.run(*command)

    def test_its_node_is_named_by_its_token(self):
        self.assertIn(f"authentication.kubernetes.io/node-name       [{self.node.name}]",
                      self.broker.run("auth", "whoami"))

    def test_nothing_but_its_own_labels_of_its_own_node(self):
        own = self.node.name
        self.broker.run("label", "node", own, f"{_PREFIX}x=1")
        self.broker.run("label", "node", own, f"{_PREFIX}x-")
        self.assert_refused(f"node {own} may not change node other", "label", "node", "other", f"{_PREFIX}x=1")
        self.assert_refused("labels whose names start with", "label", "node", own, "rack=7")
        self.assert_refused("labels whose names start with", "label", "node", own, "kubernetes.io/os-")
        for change in (("annotate", "node", own, "note=1"), ("taint", "node", own, "a=b:NoExecute"),
                       ("patch", "node", own, "-p", '{"spec": {"unschedulable": true}}')):
            self.assert_refused("nothing of a node but labels", *change)
        self.assertEqual(_labels_of_ours(self.kubectl.get("node", "other")), {})

    def test_a_token_that_names_no_node_changes_none(self):
        everywhere = Kubectl(self.kubectl.program, self.account.kubeconfig_with(self.account.token()))
        with self.assertRaisesRegex(KubectlError, "names no node"):
            everywhere.run("label", "node", self.node.name, f"{_PREFIX}x=1")

    def test_the_role_is_all_there_is(self):
        def may(verb, resource):
            return self.kubectl.may(USER, verb, resource)

        allowed = {("list", "pods"), ("watch", "pods"), ("create", "events"), ("patch", "events"), ("get", "nodes"),
                   ("patch", "nodes")}
        verbs = ("get", "list", "watch", "create", "update", "patch", "delete")
        resources = ("pods", "pods/exec", "pods/status", "events", "nodes", "nodes/status", "nodes/proxy", "secrets",
                     "configmaps", "serviceaccounts/token")
        tried = {(verb, resource) for verb in verbs for resource in resources}
        self.assertEqual({each for each in tried if may(*each)}, allowed)

    def test_a_broker_with_the_name_of_another_node_says_what_is_wrong(self):
        self.addCleanup(self.npus.restart_broker)
        self.npus.restart_broker("other")
        self.npus.broker.wait_until(
            lambda: f"node {self.node.name} may not change node other" in self.npus.broker.tail(),
            "the broker to say why it cannot label the node")
        self.assertIn("is 'other', which node.name says, the node that this runs on?", self.npus.broker.tail())
        self.assertEqual(_labels_of_ours(self.kubectl.get("node", "other")), {})


class Events(ClusterTestCase):

    def test_a_fault_is_told_on_the_node(self):
        self.npus.control("inject", "-d", "5", "--code", "0x80e18005", "--severity", "critical", "--name", "HBM")
        self.addCleanup(self.wait_for_allocatable, COUNT)
        self.addCleanup(self.npus.control, "clear", "-d", "5")
        event = self.wait_for_event("Node", self.node.name, "DeviceUnhealthy", lambda e: "npu-5 " in e["message"])
        self.assertEqual(event["type"], "Warning")
        self.assertEqual(event["source"], {"component": "npu-ipc-broker", "host": self.node.name})
        self.assertIn("level critical", event["message"])
        self.assertIn(event["message"], self.kubectl.run("describe", "node", self.node.name))
        self.npus.control("clear", "-d", "5")
        self.wait_for_event("Node", self.node.name, "DeviceHealthy", lambda e: "npu-5 " in e["message"])

    def test_a_refusal_is_told_on_the_pod_once_however_often_it_happens(self):
        self.run_pod("misspelt", npus=1, annotations={f"{_PREFIX}group": "weights:owner"})
        self.npus.know_pods(self.kubectl.pods())
        for _ in range(3):
            with self.assertRaises(KubectlError):
                self.kubectl.exec("misspelt", "npu-ipc-example", "importer")
        event = self.wait_for_event("Pod", "misspelt", "ShareRefused", lambda e: e["count"] == 3)
        self.assertEqual(event["type"], "Warning")
        self.assertIn("owner", event["message"])
        self.assertIn(event["message"], self.kubectl.run("describe", "pod", "misspelt"))
        events = self.kubectl.list("events", "--field-selector", "involvedObject.name=misspelt,reason=ShareRefused")
        self.assertEqual(len(events), 1)

    def test_what_is_no_fault_of_the_annotations_is_not_told_on_the_pod(self):
        self.run_pod("early", npus=1, annotations={f"{_PREFIX}group": "weights"})
        self.npus.know_pods(self.kubectl.pods())
        with self.assertRaises(KubectlError):
            self.kubectl.exec("early", "npu-ipc-example", "importer", "--wait", "1")
        events = self.kubectl.list("events", "--field-selector", "involvedObject.name=early,reason=ShareRefused")
        self.assertEqual(events, [])
