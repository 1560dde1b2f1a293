"""The cluster that the tests of one run share: started once, ended with the box."""

import functools
import pathlib

from broker_account import BrokerAccount
from cluster import box, image, programs
from cluster.control_plane import SERVICE_ADDRESS, ControlPlane
from cluster.kubectl import Kubectl
from cluster.node import Node, address, wait_until_ready
from cluster.second_node import SecondNode
from npus import COUNT, RESOURCE, Npus, wait_for_allocatable

NODE = "node-1"
SECOND_NODE = "node-2"

tools: dict  # paths of the cluster's programs, by their names
work: pathlib.Path  # a directory of the box, which a second node's sees too
kubectl: Kubectl
control_plane: ControlPlane
node: Node
second_node: SecondNode  # not started: start_second_node()
account: BrokerAccount
npus: Npus
programs_of_this_build: pathlib.Path
image_archives: list  # of the images that the chart names


def start(build_tree, log_directory, cgroup, kubelet, images):
    """Inside the box. Returns when the node is Ready and offers all NPUs. `images` are archives of this build's, for
    load_images() and start_second_node()."""
    # pylint: disable=global-statement
    global tools, work, kubectl, control_plane, node, second_node, account, npus, programs_of_this_build, image_archives
    image_archives = images
    tools = programs.build(kubelet)
    box.furnish(NODE, [SERVICE_ADDRESS, address(1)])
    programs_of_this_build = build_tree / "bin"
    work = pathlib.Path("/mnt")
    box.empty(work)
    archive = work / "image.tar"
    image.write(archive, work, [build_tree / "bin/npu-ipc-example", build_tree / "tests/unmodified-linked"],
                sorted((build_tree / "lib/npu-ipc-sim").glob("*.so")) + [build_tree / "lib/libnpu_ipc.so"])
    control_plane = ControlPlane(tools, work / "control-plane", log_directory)
    control_plane.start([NODE, SECOND_NODE])
    kubectl = Kubectl(tools["kubectl"], control_plane.kubeconfig("admin"))
    node = Node(NODE, 1, tools, work / NODE, log_directory, cgroup)
    node.start(control_plane.kubeconfig(f"system:node:{NODE}"), archive)
    wait_until_ready(kubectl, NODE)
    runs = kubectl.get("node", NODE)["status"]["nodeInfo"]["kubeletVersion"]
    if not runs.startswith(f"v{kubelet}."):
        raise RuntimeError(f"the kubelet is {runs}, and {kubelet} was asked for")
    account = BrokerAccount(kubectl, control_plane, NODE, work)
    account.prepare()
    npus = Npus(build_tree, log_directory, NODE, account.kubeconfig)
    npus.start()
    wait_for_allocatable(kubectl, NODE, RESOURCE, COUNT)
    second_node = SecondNode(SECOND_NODE, 2, tools, work / SECOND_NODE, log_directory, cgroup)


def start_second_node():
    """One that has this build's images, and no NPUs. Returns when it is Ready."""
    second_node.start(control_plane.kubeconfig(f"system:node:{SECOND_NODE}"), work / "image.tar",
                      *image_archives)
    wait_until_ready(kubectl, SECOND_NODE)


def stop_second_node():
    """As if it had never been."""
    second_node.stop()
    kubectl.run("delete", "node", SECOND_NODE)


@functools.cache
def load_images():
    """Once, when the first test needs them: the node has this build's images."""
    for archive in image_archives:
        node.ctr("images", "import", archive)
