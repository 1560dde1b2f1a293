"""npu-device-plugin beside a real kubelet, containerd and API server."""

import pathlib

from cluster.process import wait_until
from cluster_test_case import ClusterTestCase
from npus import COUNT, RESOURCE, SHARE


class Allocation(ClusterTestCase):

    def test_an_ordinary_pod_has_nothing_of_ours(self):
        self.run_pod("ordinary")
        self.assertEqual(self.devices("ordinary"), set())
        self.assertNotIn("NPU_IPC", self.kubectl.exec("ordinary", "env"))

    def test_a_pod_gets_the_devices_that_it_asks_for(self):
        self.run_pod("two", npus=2)
        self.assertEqual(len(self.devices("two")), 2)
        for name in ("davinci_manager", "devmm_svm", "hisi_hdc"):
            self.assertIn(name, self.kubectl.exec("two", "ls", "/dev").split())
        variables = self.kubectl.exec("two", "env").splitlines()
        self.assertIn("NPU_IPC_SOCKET=/run/npu-ipc/broker.sock", variables)
        self.assertIn("NPU_IPC_LIBRARY=/usr/local/lib/npu-ipc/libnpu_ipc.so", variables)

    def test_what_is_mounted_is_there_and_read_only(self):
        self.run_pod("mounts", npus=1)
        for path in ("/usr/local/lib/npu-ipc/libnpu_ipc.so", "/run/npu-ipc/broker.sock",
                     "/usr/local/Ascend/driver/lib64/libascendcl.so"):
            self.kubectl.exec("mounts", "test", "-e", path)
            folder = path.rsplit("/", 1)[0]
            tried = self.kubectl.exec("mounts", "sh", "-c", f"touch {folder}/mine 2>&1 || true")
            self.assertIn("Read-only file system", tried)

    def test_beyond_capacity_a_pod_waits_for_the_holder_to_go(self):
        self.run_pod("holder", npus=COUNT)
        self.create("waiting", npus=1)
        self.wait_until_it_waits("waiting")
        self.kubectl.delete_pod("holder")
        self.kubectl.wait_for_phase("waiting", "Running")
        self.assertEqual(len(self.devices("waiting")), 1)

    def test_the_share_resource_needs_no_npu(self):
        self.run_pod("sidecar", resources={SHARE: 1})
        self.assertEqual(self.devices("sidecar"), set())
        self.kubectl.exec("sidecar", "test", "-e", "/usr/local/lib/npu-ipc/libnpu_ipc.so")
        self.kubectl.exec("sidecar", "test", "-S", "/run/npu-ipc/broker.sock")


class Restarts(ClusterTestCase):

    def check_untouched(self, name, before):
        after = self.kubectl.get("pod", name)["status"]["containerStatuses"]
        self.assertEqual([(c["containerID"], c["restartCount"]) for c in after],
                         [(c["containerID"], c["restartCount"]) for c in before["status"]["containerStatuses"]])

    def check_next_pod_gets_others(self, name):
        self.run_pod(f"{name}-next", npus=2)
        self.assertEqual(len(self.devices(name) | self.devices(f"{name}-next")), 4)

    def test_kubelet(self):
        before = self.run_pod("kubelet", npus=2)
        self.node.restart_kubelet()
        self.check_next_pod_gets_others("kubelet")
        self.wait_for_allocatable(COUNT)
        self.check_untouched("kubelet", before)

    def test_device_plugin_killed(self):
        before = self.run_pod("plugin", npus=2)
        self.npus.plugin.kill()
        self.wait_for_allocatable(0)
        self.npus.plugin.start()
        self.wait_for_allocatable(COUNT)
        self.check_next_pod_gets_others("plugin")
        self.check_untouched("plugin", before)

    def registrations(self):
        return self.npus.metric("npu_ipc_device_registrations_total", resource=RESOURCE)

    def test_a_socket_removed_by_hand_is_made_again(self):
        before = self.registrations()
        sockets = list(pathlib.Path("/var/lib/kubelet/device-plugins").glob("npu-ipc-huawei.com*.sock"))
        self.assertEqual(len(sockets), 1)
        sockets[0].unlink()
        wait_until(lambda: self.registrations() > before, "the plugin to register again")
        self.wait_for_allocatable(COUNT)
        self.run_pod("socket", npus=COUNT)

    def test_containerd(self):
        before = self.run_pod("containerd", npus=2)
        self.node.restart_containerd()
        wait_until(lambda: len(self.devices("containerd")) == 2, "exec to work again")
        self.check_next_pod_gets_others("containerd")
        self.check_untouched("containerd", before)


class Health(ClusterTestCase):

    def test_a_faulty_device_is_not_allocatable_until_it_is_well(self):
        self.npus.control("inject", "-d", "3", "--code", "0x80e18005", "--severity", "critical", "--name", "HBM")
        self.addCleanup(self.npus.control, "clear", "-d", "3")
        self.wait_for_allocatable(COUNT - 1)
        self.run_pod("healthy", npus=COUNT - 1)
        self.assertNotIn("davinci3", self.devices("healthy"))
        self.npus.control("clear", "-d", "3")
        self.wait_for_allocatable(COUNT)


class Configured(ClusterTestCase):
    """A device plugin with other settings, until the test ends."""

    def configure(self, *options):
        self.addCleanup(self.wait_for_allocatable, COUNT)
        self.addCleanup(self.npus.restart_plugin)
        self.npus.restart_plugin(*options)

    def test_devices_come_by_cdi(self):
        self.configure("--injection-mode", "cdi")
        self.wait_for_allocatable(COUNT)
        self.run_pod("cdi", npus=2)
        self.assertEqual(len(self.devices("cdi")), 2)
        self.kubectl.exec("cdi", "test", "-e", "/usr/local/Ascend/driver/lib64/libascendcl.so")

    def test_manifests_of_another_plugin_need_no_edit(self):
        self.configure("--resources-ascend910b", "huawei.com/Ascend910")
        self.wait_for_allocatable(COUNT, "huawei.com/Ascend910")
        self.run_pod("named", npus=2, resource="huawei.com/Ascend910")
        self.assertEqual(len(self.devices("named")), 2)

    def test_two_pods_have_the_same_cards(self):
        self.configure("--sharing-replicas", "2", "--sharing-manage-device-share")
        self.wait_for_allocatable(2 * COUNT)
        for name in ("train", "infer"):
            self.run_pod(name, npus=COUNT)
            self.assertEqual(len(self.devices(name)), COUNT)  # distinct cards before any is given twice
        self.create("third", npus=1)
        self.wait_until_it_waits("third")
        for name in ("train", "infer"):
            wait_until(lambda name=name: len(self.npus.holders().get(("default", name, "main"), ())) == COUNT,
                       f"{name} to be named as holder of every card")


