"""containerd and the kubelet."""

import json
import os
import pathlib
import subprocess

from cluster import image
from cluster.process import Daemon

_KUBELET_HEALTH = "http://127.0.0.1:10248/healthz"


class Node:
    """One node; its box has its `name` as hostname. Used by one thread."""

    def __init__(self, name, number, programs, directory, log_directory, cgroup):
        """`number` is of its addresses: address() and pod_network()."""
        self.name = name
        self._number = number
        self._cgroup = cgroup
        self._programs = programs
        self._logs = log_directory
        self._directory = pathlib.Path(directory)
        self._directory.mkdir()
        self.static_pods = self._directory / "static-pods"  # manifests that the kubelet runs of its own accord
        self.static_pods.mkdir()
        self.containerd = None
        self.kubelet = None

    def start(self, kubeconfig, *image_archives):
        """Returns when the kubelet is healthy. The node object becomes Ready a little later."""
        self._start_containerd()
        for archive in image_archives:
            self.ctr("images", "import", archive)
        self._start_kubelet(kubeconfig)

    def ctr(self, *arguments):
        done = subprocess.run([self._programs["ctr"], "--namespace", "k8s.io", *map(str, arguments)],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"ctr {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def process_of(self, container):
        """The pid of a container's first process."""
        for line in self.ctr("tasks", "list").splitlines():
            name, pid, *_ = line.split()
            if name == container:
                return int(pid)
        raise LookupError(f"containerd runs no container {container}")

    def wait_for_containerd(self):
        self.containerd.wait_until(lambda: self.ctr("version"), "containerd to serve")

    def wait_for_kubelet(self):
        self.kubelet.wait_until(lambda: subprocess.run(
            ["curl", "--silent", "--fail", "--output", "/dev/null", _KUBELET_HEALTH], check=False).returncode == 0,
            "the kubelet to be healthy")

    def restart_kubelet(self):
        self.kubelet.stop()
        self.kubelet.start()
        self.wait_for_kubelet()

    def restart_containerd(self):
        self.containerd.stop()
        self.containerd.start()
        self.wait_for_containerd()

    def _start_containerd(self):
        network = self._directory / "cni"
        network.mkdir()
        (network / "10-e2e.conflist").write_text(json.dumps(_network(self._number)))
        configuration = self._directory / "containerd.toml"
        configuration.write_text(_containerd_configuration(self._programs["runc"], network))
        # It looks up its shim in PATH.
        environment = {**os.environ, "PATH": f"{self._programs['containerd-shim-runc-v2'].parent}:{os.environ['PATH']}"}
        self.containerd = Daemon("containerd", [self._programs["containerd"], "--config", configuration], self._logs,
                                 environment).start()
        self.wait_for_containerd()

    def _start_kubelet(self, kubeconfig):
        (self._directory / "resolv.conf").write_text("")
        configuration = self._directory / "kubelet.json"
        configuration.write_text(json.dumps(self._kubelet_configuration()))
        self.kubelet = Daemon("kubelet", [
            self._programs["kubelet"], "--config", configuration,
            "--kubeconfig", kubeconfig, "--hostname-override", self.name, "--node-ip", address(self._number)],
            self._logs).start()
        self.wait_for_kubelet()

    def _kubelet_configuration(self):
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{self._cgroup}", "cgroupsPerQOS": True,
            "enforceNodeAllocatable": [], "failCgroupV1": False, "failSwapOn": False,
            "makeIPTablesUtilChains": False, "resolvConf": str(self._directory / "resolv.conf"),
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "staticPodPath": str(self.static_pods), "fileCheckFrequency": "1s",
            "nodeStatusUpdateFrequency": "1s",  # how soon a device's health shows in allocatable
        }


def wait_until_ready(kubectl, node):
    """Until pods can run on it."""

    def ready(seen):
        return any(c["type"] == "Ready" and c["status"] == "True" for c in seen["status"]["conditions"])

    kubectl.wait_for_object("nodes", node, ready, f"node {node} to be Ready")
    kubectl.wait_for_object("serviceaccounts", "default", lambda _: True, "the default service account")


def address(number):
    """Of a node."""
    return f"10.89.0.{number}"


def pod_network(number):
    """Of the pods of a node."""
    return f"10.88.{number}.0/24"


def _network(number):
    return {"cniVersion": "1.0.0", "name": "e2e", "plugins": [{
        "type": "bridge", "bridge": "e2e0", "isGateway": True, "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": pod_network(number)}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}


def _containerd_configuration(runc, network):
    # restrict_oom_score_adj: where root lacks CAP_SYS_RESOURCE, every sandbox would fail without it.
    return f"""version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{image.NAME}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
enable_cdi = true
cdi_spec_dirs = ["/var/run/cdi"]
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{network}"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
"""
