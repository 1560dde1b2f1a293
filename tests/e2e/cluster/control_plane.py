"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler."""

import base64
import json
import pathlib
import secrets
import subprocess
import urllib.request

from cluster.process import Daemon

SERVICE_ADDRESS = "10.96.0.1"  # of the service `kubernetes`; the box' loopback interface has it: no kube-proxy
_ETCD = "http://127.0.0.1:2379"
_URL = f"https://{SERVICE_ADDRESS}:443"
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


class ControlPlane:
    """Used by one thread. `directory` is for its state; what the daemons write goes to `log_directory`."""

    def __init__(self, programs, directory, log_directory):
        self._programs = programs
        self._logs = log_directory
        self._directory = pathlib.Path(directory)
        self._directory.mkdir()
        self.certificate = self._directory / "server.crt"
        self._tokens = {}
        self.api_server = None
        self._controllers = ()

    def start(self, nodes):
        """Returns when all serve. `nodes` are the names that kubelets may come with."""
        self._make_keys()
        users = [("admin", "system:masters"), ("system:kube-controller-manager", ""), ("system:kube-scheduler", "")]
        self._write_tokens(users + [(f"system:node:{node}", "system:nodes") for node in nodes])
        self._start_etcd()
        self._start_api_server()
        self._start_controllers()

    def kubeconfig(self, user):
        """The path of a kubeconfig of `user`."""
        return self.write_kubeconfig(user, {"token": self._tokens[user]})

    def write_kubeconfig(self, user, credential):
        """The same for somebody who comes with `credential`, as a kubeconfig has it: {"tokenFile": ...}."""
        path = self._directory / f"{user.replace(':', '-')}.kubeconfig"
        cluster = {"server": _URL, "certificate-authority": str(self.certificate)}
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "users": [{"name": user, "user": credential}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": user}}]}))
        return path

    def _make_keys(self):
        names = ",".join([f"DNS:{name}" for name in _NAMES] + ["IP:127.0.0.1", f"IP:{SERVICE_ADDRESS}"])
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=e2e",
                        "-addext", f"subjectAltName={names}", "-keyout", self._directory / "server.key",
                        "-out", self.certificate], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["openssl", "genrsa", "-out", self._directory / "accounts.key", "2048"], check=True,
                       stderr=subprocess.DEVNULL)

    def _write_tokens(self, users):
        lines = []
        for user, groups in users:
            self._tokens[user] = secrets.token_hex(16)
            lines.append(f'{self._tokens[user]},{user},{user},"{groups}"\n')
        (self._directory / "tokens.csv").write_text("".join(lines))

    def stop_api_server(self):
        """At once, as when its machine is gone."""
        self.api_server.kill()

    def start_api_server(self):
        """Again. Returns when it is ready."""
        self.api_server.start()
        self._wait_for_api_server()
        for daemon in self._controllers:  # they would wait out a back-off of a minute and more
            daemon.kill()
            daemon.start()

    def compact(self):
        """Makes etcd forget every state of an object but the last: a watch cannot resume from those before."""
        status = self._etcd("kv/range", {"key": base64.b64encode(b"/").decode()})
        self._etcd("kv/compaction", {"revision": status["header"]["revision"], "physical": True})

    def _etcd(self, method, request):
        with urllib.request.urlopen(f"{_ETCD}/v3/{method}", json.dumps(request).encode(), timeout=10) as answer:
            return json.load(answer)

    def _daemon(self, name, *options):
        return Daemon(name, [self._programs.get(name, name), *options], self._logs).start()

    def _serves(self, url):
        return subprocess.run(["curl", "--silent", "--fail", "--output", "/dev/null", "--cacert", self.certificate,
                               "--header", f"Authorization: Bearer {self._tokens['admin']}", url],
                              check=False).returncode == 0

    def _start_etcd(self):
        etcd = self._daemon("etcd", "--data-dir", self._directory / "etcd", "--unsafe-no-fsync")
        etcd.wait_until(lambda: self._serves(f"{_ETCD}/health"), "etcd to serve")

    def _start_api_server(self):
        key = self._directory / "accounts.key"
        self.api_server = self._daemon(
            "kube-apiserver", f"--etcd-servers={_ETCD}", "--bind-address=0.0.0.0", "--secure-port=443",
            f"--tls-cert-file={self.certificate}", f"--tls-private-key-file={self._directory}/server.key",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            f"--token-auth-file={self._directory}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.96.0.0/24",
            f"--advertise-address={SERVICE_ADDRESS}", "--endpoint-reconciler-type=none", "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP")
        self._wait_for_api_server()

    def _wait_for_api_server(self):
        self.api_server.wait_until(lambda: self._serves(f"{_URL}/readyz"), "kube-apiserver to be ready")

    def _start_controllers(self):
        managers = self._daemon(
            "kube-controller-manager", f"--kubeconfig={self.kubeconfig('system:kube-controller-manager')}",
            "--use-service-account-credentials=true", "--leader-elect=false",
            f"--service-account-private-key-file={self._directory}/accounts.key",
            f"--root-ca-file={self.certificate}")
        scheduler = self._daemon(
            "kube-scheduler", f"--kubeconfig={self.kubeconfig('system:kube-scheduler')}", "--leader-elect=false")
        self._controllers = (managers, scheduler)
        for daemon, port in ((managers, 10257), (scheduler, 10259)):
            daemon.wait_until(lambda port=port: subprocess.run(
                ["curl", "--silent", "--fail", "--insecure", "--output", "/dev/null",
                 f"https://127.0.0.1:{port}/healthz"], check=False).returncode == 0, f"{daemon.name} to be healthy")
