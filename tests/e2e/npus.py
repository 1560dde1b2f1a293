"""The simulated NPUs of the node, and this build's daemons beside the kubelet."""

import os
import pathlib
import shutil
import subprocess

import broker_http
from cluster.process import Daemon

RESOURCE = "huawei.com/Ascend910B"
SHARE = "npu-ipc.io/share"
COUNT = 8
# Each node that the simulator can be: how many NPUs of which resource.
SHAPES = {"910b": (COUNT, RESOURCE), "910b-box16": (16, RESOURCE), "910c": (16, "huawei.com/Ascend910C")}
DRIVER = pathlib.Path("/run/ascend/driver")  # where a node has /usr/local/Ascend/driver
_CONTROL = DRIVER / "lib64/npu-sim-control.sock"
_HTTP = "127.0.0.1:9500"
_VIEW = "/run/npu-ipc-private/device-view.sock"


class Npus:
    """The node's NPUs, the device plugin and the broker. `build` is a build tree of this project."""

    def __init__(self, build, log_directory, node, kubeconfig):
        self._programs = pathlib.Path(build) / "bin"
        self._vendor_libraries = pathlib.Path(build) / "lib/npu-ipc-sim"
        self._logs = log_directory
        self._node = node
        self._kubeconfig = kubeconfig
        self.driver = None
        self.plugin = None
        self.broker = None

    def start(self):
        """Eight 910B. Returns when the driver serves; the daemons may still be at it."""
        shutil.copytree(self._vendor_libraries, DRIVER / "lib64")
        os.makedirs(os.path.dirname(_VIEW), mode=0o700)
        self._start_driver("910b")
        self.broker = Daemon("npu-ipc-broker", self._broker_command(self._node), self._logs).start()
        self.plugin = Daemon("npu-device-plugin", self._plugin_command(), self._logs).start()

    def become(self, shape):
        """One of SHAPES. No pod may have devices."""
        self.plugin.stop()
        self.driver.stop()
        self._start_driver(shape)
        self.plugin.start()

    def _start_driver(self, shape):
        self.driver = Daemon(f"npu-sim-driver-{shape}", [
            self._programs / "npu-sim-driver", "--node", shape, "--library-directory", DRIVER / "lib64",
            "--device-directory", "/dev"], self._logs, ready_option="--ready-fd").start()

    def _broker_command(self, node):
        return [str(part) for part in (
            self._programs / "npu-ipc-broker", "--http-listen-address", _HTTP, "--device-view-socket", _VIEW,
            "--cluster-kubeconfig", self._kubeconfig, "--node-name", node)]

    def _plugin_command(self, *options):
        return [str(part) for part in (
            self._programs / "npu-device-plugin", "--dcmi-library", DRIVER / "lib64/libdcmi.so",
            "--driver-directory", DRIVER, "--health-poll-interval", "500ms",
            "--kubelet-pod-resources-interval", "2s", "--device-view-socket", _VIEW, *options)]

    def pause(self, names):
        """Ends those of `plugin`, `broker` and `driver`, in that order, so that others can take their place."""
        for name in names:
            getattr(self, name).stop()

    def resume(self, names):
        """Starts what pause() has ended."""
        for name in reversed(names):
            getattr(self, name).start()

    def restart_broker(self, node=None):
        """Ends the broker and starts it, as that of another `node` where one is named."""
        self.broker.stop()
        self.broker.command = self._broker_command(node or self._node)
        self.broker.start()

    def restart_plugin(self, *options):
        """Ends the device plugin and starts it with `options` added."""
        self.plugin.stop()
        self.plugin.command = self._plugin_command(*options)
        self.plugin.start()

    def problems(self):
        """Why the broker is not ready, by its parts."""
        return broker_http.problems(_HTTP)

    def holders(self):
        """Who has which devices, by the broker's metrics."""
        return broker_http.holders(_HTTP)

    def metric(self, name, **labels):
        """The broker's, of all series with those labels."""
        return broker_http.metric(_HTTP, name, **labels)

    def control(self, *arguments):
        """npu-sim-control: health and faults of the simulated devices."""
        subprocess.run([self._programs / "npu-sim-control", "--socket", _CONTROL, *arguments], check=True,
                       stdout=subprocess.DEVNULL)


def wait_for_allocatable(kubectl, node, resource, count):
    """Until the node offers so many."""
    kubectl.wait_for_object("nodes", node, lambda seen: seen["status"]["allocatable"].get(resource) == str(count),
                            f"{count} of {resource} to be allocatable")
