"""A simulated node, and pods on it in which tests run Python (or any program)."""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

BUILD = pathlib.Path(os.environ["NPU_IPC_BUILD"])
SOURCE = pathlib.Path(__file__).resolve().parents[2]
POD_FILES = "/usr/local/lib/npu-ipc-tests/python-files"  # BUILD/tests/python-files, in containers
PYTHON = "/usr/bin/python3"

sys.path.insert(0, str(SOURCE / "runtime/python"))


class Raised(Exception):
    """What a pod's code raised."""

    def __init__(self, error):
        super().__init__(error["traceback"])
        self.type = error["type"]
        self.bases = error["bases"]
        self.text = error["text"]
        self.status = error["status"]
        self.cause = error["cause"]
        self.vendor_code = error["vendor_code"]
        self.advice = error["advice"]


def raises(pod, code):
    """What the code raises in the pod: it has to."""
    with pytest.raises(Raised) as raised:
        pod.run(code)
    return raised.value


class Node:
    def __init__(self):
        self._process = subprocess.Popen(
            [BUILD / "tests/npu-ipc-test-node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        assert self._hear() == {"ready": True}

    def do(self, what, **arguments):
        json.dump({"do": what, **arguments}, self._process.stdin)
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self):
        answer = json.loads(self._process.stdout.readline() or '{"error": "the node has ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def end(self):
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(timeout=60) == 0


class Container:
    """One program in a container of a pod of its own."""

    def __init__(self, node, name, arguments, annotations, device, environment=()):
        self._node = node
        self.name = name
        self.host_pid = node.do(
            "run",
            name=name,
            annotations=annotations,
            device=device,
            arguments=arguments,
            environment={
                "PYTHONPATH": POD_FILES,
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
                "PYTHONWARNINGS": "always::ResourceWarning",
                **dict(environment),
            },
        )["host_pid"]

    def tell(self, line):
        self._node.do("tell", name=self.name, line=line)

    def hear(self):
        try:
            return self._node.do("hear", name=self.name)["line"]
        except RuntimeError as error:
            raise RuntimeError(f"{self.name}: {error}; it said: {self.errors()}") from None

    def hear_all(self):
        """Every line until its output ends, which must be with success."""
        lines = []
        while True:
            try:
                lines.append(self._node.do("hear", name=self.name)["line"])
            except RuntimeError:
                break
        assert self.wait() == 0, f"{self.name}: {lines}; it said: {self.errors()}"
        return lines

    def wait(self):
        return self._node.do("wait", name=self.name)["code"]

    def errors(self):
        return self._node.do("errors", name=self.name)["text"]

    def annotate(self, **annotations):
        self._node.do("annotate", name=self.name, annotations=_with_prefix(annotations))

    def kill(self):
        self._node.do("kill", name=self.name)


class Pod(Container):
    """A pod with an interpreter that runs what the test says (pod/agent.py)."""

    def __init__(self, node, name, annotations, device):
        super().__init__(node, name, [PYTHON, f"{POD_FILES}/pod/agent.py"], annotations, device)

    def start(self, code):
        """Begins to run it; `result()` is what came of it."""
        self.tell(json.dumps({"run": textwrap.dedent(code)}))

    def result(self):
        answer = json.loads(self.hear())
        if "error" in answer:
            raise Raised(answer["error"])
        return answer["value"]

    def run(self, code):
        self.start(code)
        return self.result()


def _with_prefix(annotations):
    return {f"npu-ipc.io/{name.replace('_', '-')}": text for name, text in annotations.items()}


@pytest.fixture(scope="session")
def node():
    node = Node()
    yield node
    node.end()


_serial = itertools.count(1)


class Pods:
    """Makes the pods of one test, in a group of its own."""

    def __init__(self, node):
        self._node = node
        self._made = []
        self.serial = next(_serial)
        self.group = f"group-{self.serial}"

    def member(self, name, role="both", **annotations):
        """A pod of the test's group, with its device set and a client to be opened."""
        pod = self.stranger(name, group=f"{self.group}:{role}", **annotations)
        pod.run("acl.start()")
        return pod

    def stranger(self, name, **annotations):
        return self._add(Pod(self._node, self._own(name), _with_prefix(annotations), self._card()))

    def container(self, name, arguments, annotations, environment=()):
        return self._add(
            Container(
                self._node, self._own(name), arguments, annotations, self._card(), environment
            )
        )

    def _own(self, name):
        return f"{name}-{self.serial}"

    def _card(self):
        return len(self._made)  # of its own: the driver gives a card to one container at a time

    def _add(self, made):
        self._made.append(made)
        return made

    def end(self):
        for pod in self._made:
            pod.kill()


@pytest.fixture
def pods(node):
    pods = Pods(node)
    yield pods
    pods.end()
