"""The cluster that the tests of one run share: started once, ended with the box."""

import functools
import pathlib

import images
from broker_account import BrokerAccount
from cluster import box, image, programs
from cluster.control_plane import SERVICE_ADDRESS, ControlPlane
from cluster.kubectl import Kubectl
from cluster.node import Node, wait_until_ready
from npus import COUNT, RESOURCE, Npus, wait_for_allocatable

NODE = "node-1"

tools: dict  # paths of the cluster's programs, by their names
work: pathlib.Path  # a directory of the box
kubectl: Kubectl
control_plane: ControlPlane
node: Node
account: BrokerAccount
npus: Npus
programs_of_this_build: pathlib.Path


def start(build_tree, log_directory, cgroup, kubelet):
    """Inside the box. Returns when the node is Ready and offers all NPUs."""
    global tools, work, kubectl, control_plane, node, account, npus, programs_of_this_build  # pylint: disable=global-statement
    tools = programs.build(kubelet)
    box.furnish(NODE, [SERVICE_ADDRESS, "10.89.0.1"])
    programs_of_this_build = build_tree / "bin"
    work = pathlib.Path("/run/e2e")
    work.mkdir()
    archive = work / "image.tar"
    image.write(archive, work, [build_tree / "bin/npu-ipc-example"],
                sorted((build_tree / "lib/npu-ipc-sim").glob("*.so")) + [build_tree / "lib/libnpu_ipc.so"])
    control_plane = ControlPlane(tools, work / "control-plane", log_directory)
    control_plane.start([NODE])
    kubectl = Kubectl(tools["kubectl"], control_plane.kubeconfig("admin"))
    node = Node(NODE, tools, work / "node", log_directory, cgroup)
    node.start(control_plane, archive)
    wait_until_ready(kubectl, NODE)
    account = BrokerAccount(kubectl, control_plane, NODE, work)
    account.prepare()
    npus = Npus(build_tree, log_directory, NODE, account.kubeconfig)
    npus.start()
    wait_for_allocatable(kubectl, NODE, RESOURCE, COUNT)


@functools.cache
def load_images():
    """Once, when the first test needs them: the node has this build's images."""
    for archive in images.build().values():
        node.ctr("images", "import", archive)
