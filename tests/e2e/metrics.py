"""What the broker serves on /metrics, of its own and of the devices."""

import re
import urllib.request

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def read(address):
    """Every sample: its name, its labels and its value."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return [(name, dict(_LABEL.findall(labels)), float(value)) for name, labels, value in _SAMPLE.findall(text)]


def holders(address):
    """Which container has which devices, as the kubelet has said: {(namespace, pod, container): {"npu-0", ...}}. What
    was allocated and is not named yet is under empty names."""
    held = {}
    for name, labels, value in read(address):
        if name == "npu_ipc_device_allocated" and value:
            container = (labels["namespace"], labels["pod"], labels["container"])
            held.setdefault(container, set()).add(labels["device"])
    return held


def registrations(address, resource):
    """How often the kubelet accepted that resource."""
    return sum(value for name, labels, value in read(address)
               if name == "npu_ipc_device_registrations_total" and labels["resource"] == resource)
