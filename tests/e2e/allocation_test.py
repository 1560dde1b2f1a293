"""Which devices a real kubelet gives to a pod, and who is said to hold them."""

from cluster.kubectl import container
from cluster.process import wait_until
from cluster_test_case import ClusterTestCase
from npus import COUNT, RESOURCE, SHAPES


class Holders(ClusterTestCase):
    """By the kubelet's podresources: the device plugin asks, the broker's metrics tell."""

    def holder(self, pod):
        return self.npus.holders().get(("default", pod, "main"), set())

    def wait_for_holder(self, pod):
        """Until it is said to hold just what it has."""
        has = {node.replace("davinci", "npu-") for node in self.devices(pod)}
        self.assertTrue(has)
        wait_until(lambda: self.holder(pod) == has, f"{has} to be those of {pod}")

    def test_a_pod_is_named_as_holder_until_it_is_gone(self):
        self.run_pod("first", npus=2)
        self.run_pod("second", npus=3)
        self.wait_for_holder("first")
        self.wait_for_holder("second")
        self.kubectl.delete_pod("first")
        wait_until(lambda: not self.holder("first"), "the devices of the pod that is gone to be nobody's")
        self.wait_for_holder("second")

    def test_containers_of_a_pod_are_told_apart(self):
        self.create("both", npus=1, beside=[container("other", resources={RESOURCE: 2})])
        self.kubectl.wait_for_phase("both", "Running")
        wait_until(lambda: len(self.npus.holders().get(("default", "both", "other"), ())) == 2,
                   "the other container to be named")
        self.assertEqual(len(self.holder("both")), 1)
        self.assertFalse(self.holder("both") & self.npus.holders()[("default", "both", "other")])

    def test_a_holder_is_not_forgotten_while_the_kubelet_restarts(self):
        self.run_pod("before", npus=2)
        self.wait_for_holder("before")
        held = self.holder("before")

        def later_one_is_named():
            self.assertEqual(self.holder("before"), held)
            return self.holder("after")

        self.node.restart_kubelet()
        self.create("after", npus=1)
        wait_until(later_one_is_named, "the kubelet to say again who holds which device")
        self.assertEqual(self.holder("before"), held)

    def test_a_device_plugin_that_is_new_learns_who_holds_what(self):
        self.run_pod("older", npus=2)
        self.wait_for_holder("older")
        self.npus.plugin.kill()
        self.npus.plugin.start()
        self.wait_for_allocatable(COUNT)
        self.wait_for_holder("older")


class Preference(ClusterTestCase):
    """The preferred allocation, where the first ids that are free would be others."""

    def run_with(self, name, npus, resource=RESOURCE):
        """Runs a pod; the numbers of its NPUs."""
        self.run_pod(name, npus, resource=resource)
        return {int(node.removeprefix("davinci")) for node in self.devices(name)}

    def test_modules_of_a_910c_stay_whole(self):
        self.become("910c")
        _, resource = SHAPES["910c"]
        self.assertEqual(self.run_with("one", 1, resource), {0})
        self.assertEqual(self.run_with("two", 2, resource), {2, 3})
        self.assertEqual(self.run_with("four", 4, resource), {4, 5, 6, 7})
        self.assertEqual(self.run_with("odd", 1, resource), {1})

    def test_groups_of_a_box16_are_not_crossed(self):
        self.become("910b-box16")
        self.assertEqual(self.run_with("seven", 7), set(range(7)))
        self.assertEqual(self.run_with("pair", 2), {8, 9})
        self.assertEqual(self.run_with("last", 1), {7})

    def test_what_is_too_large_for_a_group_of_a_box16_takes_the_same_of_both(self):
        self.become("910b-box16")
        self.assertEqual(self.run_with("ten", 10), {0, 1, 2, 3, 4, 8, 9, 10, 11, 12})
