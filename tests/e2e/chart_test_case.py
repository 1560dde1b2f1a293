"""What the tests of the installed chart have in common: the daemons run as its pods, and not beside the kubelet."""

import environment
from cluster.process import wait_until
from cluster_test_case import ClusterTestCase
from helm import Release
from npus import COUNT, RESOURCE, wait_for_allocatable

NAMESPACE = "npu-system"


def release(name):
    """A release of that name, whether it is installed or not."""
    return Release(environment.tools["helm"], environment.control_plane.kubeconfig("admin"), name, NAMESPACE,
                   environment.work)


class ChartTestCase(ClusterTestCase):
    """One release for all tests of a class, with VALUES, in the place of those REPLACED of the node's daemons."""

    VALUES: dict
    REPLACED = ("plugin", "broker", "driver")
    NODES = (environment.NODE,)
    release: Release

    @classmethod
    def setUpClass(cls):
        environment.load_images()
        cls.addClassCleanup(wait_for_allocatable, environment.kubectl, environment.NODE, RESOURCE, COUNT)
        cls.addClassCleanup(environment.npus.resume, cls.REPLACED)
        environment.npus.pause(cls.REPLACED)
        cls.release = release("demo")
        cls.addClassCleanup(cls.wait_until_gone)
        cls.addClassCleanup(cls.release.uninstall)
        try:
            cls.release.install(cls.VALUES)
            # Helm counts a node's pod among those that may be missing, and so waits for none on a single node.
            wait_until(cls.ready, "the daemons to be ready")
            for node in cls.NODES:
                wait_for_allocatable(environment.kubectl, node, RESOURCE, COUNT)
        except Exception as error:
            raise AssertionError(f"{error}\n{cls.account_of_the_pods()}") from error

    @classmethod
    def account_of_the_pods(cls):
        """What they say of themselves, for a test that failed."""
        in_namespace = ("-n", NAMESPACE)
        texts = [environment.kubectl.run("describe", "pods", *in_namespace)]
        for each in environment.kubectl.list("pods", *in_namespace):
            for container in each["spec"]["containers"]:
                name = each["metadata"]["name"]
                texts.append(f"--- {name} {container['name']}\n" + environment.kubectl.run(
                    "logs", name, "-c", container["name"], *in_namespace, "--tail=30", "--ignore-errors"))
        return "\n".join(texts)

    @classmethod
    def wait_until_gone(cls):
        wait_until(lambda: not environment.kubectl.list("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=npu-ipc"),
                   "the release's pods to be gone")

    @classmethod
    def daemons(cls, node=environment.NODE):
        """The daemons' pod."""
        found = environment.kubectl.list("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=npu-ipc",
                                         "--field-selector", f"spec.nodeName={node}")
        if len(found) != 1:
            raise LookupError(f"{len(found)} pods of the daemons on {node}")
        return found[0]

    @classmethod
    def ready(cls):
        return all(each["ready"] for node in cls.NODES for each in cls.daemons(node)["status"]["containerStatuses"])

    def pid_of(self, container):
        """Of a daemon, as the host has it."""
        statuses = {each["name"]: each for each in self.daemons()["status"]["containerStatuses"]}
        return self.node.process_of(statuses[container]["containerID"].removeprefix("containerd://"))

    def address(self):
        """Of the broker's metrics."""
        return f"{self.daemons()['status']['podIP']}:9500"
