"""The simulated NPUs of the node, and this build's daemons beside the kubelet."""

import json
import os
import pathlib
import shutil
import subprocess

from cluster.process import Daemon, wait_until

RESOURCE = "huawei.com/Ascend910B"
SHARE = "npu-ipc.io/share"
COUNT = 8
_DRIVER = pathlib.Path("/run/ascend/driver")  # where a node has /usr/local/Ascend/driver
_VIEW = "/run/npu-ipc-private/device-view.sock"


class Npus:
    """Eight 910B, the device plugin and the broker. `build` is a build tree of this project."""

    def __init__(self, build, log_directory):
        self._programs = pathlib.Path(build) / "bin"
        self._vendor_libraries = pathlib.Path(build) / "lib/npu-ipc-sim"
        self._logs = log_directory
        self._pods_file = pathlib.Path("/run/npu-pods/pods.json")
        self.driver = None
        self.plugin = None
        self.broker = None

    def start(self):
        """Returns when the driver serves; the daemons may still be at it."""
        library_directory = _DRIVER / "lib64"
        shutil.copytree(self._vendor_libraries, library_directory)
        self.driver = Daemon("npu-sim-driver", [
            self._programs / "npu-sim-driver", "--node", "910b", "--library-directory", library_directory,
            "--device-directory", "/dev"], self._logs).start()
        self.driver.wait_until(lambda: "ready" in self.driver.log.read_text(), "the simulated driver")
        self.know_pods({"apiVersion": "v1", "kind": "List", "items": []})
        os.makedirs(os.path.dirname(_VIEW), mode=0o700)
        self.broker = Daemon("npu-ipc-broker", [
            self._programs / "npu-ipc-broker", "--pods-file", self._pods_file, "--http-listen-address", "127.0.0.1:9500",
            "--device-view-socket", _VIEW], self._logs).start()
        self.plugin = Daemon("npu-device-plugin", self._plugin_command(), self._logs).start()

    def _plugin_command(self, *options):
        return [str(part) for part in (
            self._programs / "npu-device-plugin", "--dcmi-library", _DRIVER / "lib64/libdcmi.so",
            "--driver-directory", _DRIVER, "--health-poll-interval", "500ms", "--device-view-socket", _VIEW, *options)]

    def restart_plugin(self, *options):
        """Ends the device plugin and starts it with `options` added."""
        self.plugin.stop()
        self.plugin.command = self._plugin_command(*options)
        self.plugin.start()

    def control(self, *arguments):
        """npu-sim-control: health and faults of the simulated devices."""
        subprocess.run([self._programs / "npu-sim-control", "--socket", _DRIVER / "lib64/npu-sim-control.sock",
                        *arguments], check=True, stdout=subprocess.DEVNULL)

    def know_pods(self, pods):
        """What the broker knows of the pods from now on."""
        self._pods_file.parent.mkdir(exist_ok=True)
        fresh = self._pods_file.with_suffix(".new")
        fresh.write_text(json.dumps(pods))
        fresh.rename(self._pods_file)


def wait_for_allocatable(kubectl, node, resource, count):
    """Until the node offers so many."""
    kubectl.wait_for_object("nodes", node, lambda seen: seen["status"]["allocatable"].get(resource) == str(count),
                            f"{count} of {resource} to be allocatable")
