"""Who the broker is to the API server: a service account with the rights that a cluster gives it, and no more."""

import itertools
import json
import pathlib

from cluster.kubectl import pod

NAMESPACE = "npu-ipc"
NAME = "npu-ipc-broker"
_MANIFEST = pathlib.Path(__file__).resolve().parents[2] / "manifests/npu-ipc-broker-rbac.yaml"


class BrokerAccount:
    """The account on one node. `directory` is for the token."""

    def __init__(self, kubectl, control_plane, node, directory):
        self._kubectl = kubectl
        self._control_plane = control_plane
        self._node = node
        self._token = pathlib.Path(directory) / "broker.token"
        self._pods = (f"{NAME}-{number}" for number in itertools.count())
        self._pod = None
        self.kubeconfig = None

    def prepare(self):
        """Applies the manifest, and takes a token for `kubeconfig` as the kubelet would: bound to a pod of the node,
        which stands for the broker's own."""
        self._kubectl.run("apply", "-f", str(_MANIFEST))
        self._kubectl.wait_for_object("serviceaccounts", NAME, lambda _: True, "the broker's account", "-n", NAMESPACE)
        self.kubeconfig = self._control_plane.write_kubeconfig(NAME, {"tokenFile": str(self._token)})
        self._take_token()

    def rotate(self):
        """Another token in the same file, and the one before is worth nothing any more."""
        before = self._pod
        self._take_token()
        self._kubectl.run("delete", "pod", before, "-n", NAMESPACE, "--grace-period=1", "--wait=true")

    def _take_token(self):
        self._pod = next(self._pods)
        manifest = pod(self._pod, serviceAccountName=NAME, nodeName=self._node)
        self._kubectl.run("create", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(manifest))
        uid = self._kubectl.get("pod", self._pod, "-n", NAMESPACE)["metadata"]["uid"]
        fresh = self._token.with_suffix(".new")
        fresh.write_text(self.token("--bound-object-kind=Pod", f"--bound-object-name={self._pod}",
                                    f"--bound-object-uid={uid}"))
        fresh.rename(self._token)

    def kubeconfig_with(self, token):
        return self._control_plane.write_kubeconfig(f"{NAME}-with-token", {"token": token})

    def token(self, *options):
        return self._kubectl.run("create", "token", NAME, "-n", NAMESPACE, *options).strip()
