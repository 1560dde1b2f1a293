"""What the broker serves over HTTP: readiness, and metrics of its own and of the devices."""

import re
import urllib.error
import urllib.request

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def problems(address):
    """Why it is not ready: a reason for each part of it that is not; empty when it is."""
    try:
        _get(address, "readyz")
        return {}
    except urllib.error.HTTPError as error:
        with error:
            lines = error.read().decode().splitlines()
        return dict(line.split(": ", 1) for line in lines if not line.startswith("note: "))


def metrics(address):
    """Every sample: its name, its labels and its value."""
    return [(name, dict(_LABEL.findall(labels)), float(value))
            for name, labels, value in _SAMPLE.findall(_get(address, "metrics"))]


def _get(address, path):
    with urllib.request.urlopen(f"http://{address}/{path}", timeout=10) as answer:
        return answer.read().decode()


def holders(address):
    """Which container has which devices, as the kubelet has said: {(namespace, pod, container): {"npu-0", ...}}. What
    was allocated and is not named yet is under empty names."""
    held = {}
    for name, labels, value in metrics(address):
        if name == "npu_ipc_device_allocated" and value:
            container = (labels["namespace"], labels["pod"], labels["container"])
            held.setdefault(container, set()).add(labels["device"])
    return held


def metric(address, name, **labels):
    """The sum of all series of that name that have those labels."""
    return sum(value for each, its, value in metrics(address) if each == name and labels.items() <= its.items())
