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
    """One release for all tests of a class, with VALUES. SIMULATED: it brings the driver; else the node has one."""

    VALUES: dict
    SIMULATED = True
    release: Release

    @classmethod
    def setUpClass(cls):
        environment.load_images()
        cls.addClassCleanup(wait_for_allocatable, environment.kubectl, environment.NODE, RESOURCE, COUNT)
        cls.addClassCleanup(environment.npus.resume, cls.SIMULATED)
        environment.npus.pause(cls.SIMULATED)
        cls.release = release("demo")
        cls.addClassCleanup(cls.wait_until_gone)
        cls.addClassCleanup(cls.release.uninstall)
        try:
            cls.release.install(cls.VALUES)
            wait_for_allocatable(environment.kubectl, environment.NODE, RESOURCE, COUNT)
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

    def daemons(self):
        """The daemons' pod."""
        found = self.kubectl.list("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=npu-ipc")
        self.assertEqual(len(found), 1)
        return found[0]

    def pid_of(self, container):
        """Of a daemon, as the host has it."""
        statuses = {each["name"]: each for each in self.daemons()["status"]["containerStatuses"]}
        return self.node.process_of(statuses[container]["containerID"].removeprefix("containerd://"))

    def ready(self):
        return all(each["ready"] for each in self.daemons()["status"]["containerStatuses"])

    def address(self):
        """Of the broker's metrics."""
        return f"{self.daemons()['status']['podIP']}:9500"
