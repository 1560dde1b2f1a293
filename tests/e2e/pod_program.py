"""npu-ipc-example in a pod, led step by step; nothing of it needs the API server."""

import itertools
import pathlib

from cluster.kubectl import pod
from cluster.process import wait_until

_STEPS = "/tmp/steps"
_exec_ids = itertools.count()


def manifest(name, role, **options):
    """A pod that runs the example as that role."""
    command = f"mkfifo {_STEPS} && exec npu-ipc-example {role} --wait 300 --step-by-step <>{_STEPS}"
    return pod(name, command=["sh", "-c", command], **options)


class PodProgram:
    """The container `main` of a pod that runs; `seen` is the pod as kubectl shows it."""

    def __init__(self, node, seen):
        self._node = node
        self.name = seen["metadata"]["name"]
        self._container = seen["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        directory = f"{seen['metadata']['namespace']}_{self.name}_{seen['metadata']['uid']}"
        self._log = pathlib.Path("/var/log/pods", directory, "main/0.log")
        self._pid = node.process_of(self._container)

    def step(self):
        """Lets it go on to what it does next."""
        with open(f"/proc/{self._pid}/root{_STEPS}", "w", encoding="ascii") as steps:
            steps.write("\n")

    def wait_for(self, words):
        """Until it has printed them."""

        def said():
            text = self._log.read_text()
            if words in text:
                return True
            raise LookupError(f"it has said: {text}")

        wait_until(said, f"pod {self.name} to say '{words}'")

    def run(self, *command):
        """Another process in the container; what it printed. Fails as Node.ctr() does."""
        return self._node.ctr("tasks", "exec", "--exec-id", f"e2e-{next(_exec_ids)}", self._container, *command)
