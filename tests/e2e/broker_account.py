"""Who the broker is to the API server: a service account with the rights that a cluster gives it, and no more."""

import json
import pathlib

from cluster.kubectl import pod

NAMESPACE = "npu-ipc"
NAME = "npu-ipc-broker"
USER = f"system:serviceaccount:{NAMESPACE}:{NAME}"
_MANIFEST = pathlib.Path(__file__).resolve().parents[2] / "manifests/npu-ipc-broker-rbac.yaml"


class BrokerAccount:
    """The account on one node. `directory` is for the token."""

    def __init__(self, kubectl, control_plane, node, directory):
        self._kubectl = kubectl
        self._control_plane = control_plane
        self._node = node
        self._token = pathlib.Path(directory) / "broker.token"
        self.kubeconfig = None

    def prepare(self):
        """Applies the manifest, and takes a token for `kubeconfig` as the kubelet would: bound to a pod of the node,
        which stands for the broker's own."""
        self._kubectl.run("apply", "-f", str(_MANIFEST))
        self._kubectl.wait_for_object("serviceaccounts", NAME, lambda _: True, "the broker's account", "-n", NAMESPACE)
        manifest = pod(NAME, serviceAccountName=NAME, nodeName=self._node)
        self._kubectl.run("create", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(manifest))
        uid = self._kubectl.get("pod", NAME, "-n", NAMESPACE)["metadata"]["uid"]
        self._token.write_text(self.token("--bound-object-kind=Pod", f"--bound-object-name={NAME}",
                                          f"--bound-object-uid={uid}"))
        self.kubeconfig = self._control_plane.write_kubeconfig(NAME, {"tokenFile": str(self._token)})

    def kubeconfig_with(self, token):
        return self._control_plane.write_kubeconfig(f"{NAME}-with-token", {"token": token})

    def token(self, *options):
        return self._kubectl.run("create", "token", NAME, "-n", NAMESPACE, *options).strip()
