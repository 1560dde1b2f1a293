"""One exporter shares the layers of a model; any number of importers use them until it goes.

The exporter serves until it is asked to end (SIGTERM), and then waits for its importers. An
importer takes every layer as soon as it is published, and lets it go when its exporter wants it
back; so pods may come, go and restart in any order.
"""

import ctypes
import signal
import sys
from contextlib import ExitStack
from typing import Dict

import npu_ipc
from npu_ipc import EventType

LAYERS = 4
LAYER_BYTES = 32 << 20
DRAIN_SECONDS = 20.0  # less than the pod's terminationGracePeriodSeconds


class Terminated(Exception):
    pass


def terminate(*_: object) -> None:
    raise Terminated


def take_device() -> None:
    acl = ctypes.CDLL("libascendcl.so")
    if acl.aclInit(None) != 0 or acl.aclrtSetDevice(ctypes.c_int32(0)) != 0:
        sys.exit("AscendCL does not give this process the container's card")


def run_exporter() -> None:
    with ExitStack() as stack:
        layers = [stack.enter_context(npu_ipc.empty(LAYER_BYTES)) for _ in range(LAYERS)]
        # ... load the model's weights into them ...
        regions = [npu_ipc.publish(f"layer-{n}", layer) for n, layer in enumerate(layers)]
        print(f"serving {len(regions)} layers", flush=True)
        try:
            for event in npu_ipc.events():
                if event.type is EventType.REGION_LOST and event.region is not None:
                    sys.exit(f"{event.region.name} is not published any more")
        except Terminated:
            pass
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for region in regions:
            region.withdraw(timeout=DRAIN_SECONDS)
    print("all layers are back", flush=True)


def run_importer() -> None:
    mappings: Dict[str, npu_ipc.Mapping] = {}
    try:
        # Exporters let this process in ahead, so that each attach waits for the broker alone.
        with npu_ipc.subscribe("layer-", admit_ahead=True) as changes:
            while len(mappings) < LAYERS:
                change = changes.next()
                if change is None or change.type is not npu_ipc.ChangeType.ADMITTED:
                    continue
                name = change.region.name
                mappings[name] = npu_ipc.attach(name)
        print(f"using {len(mappings)} layers", flush=True)
        # ... inference ...
        for event in npu_ipc.events():
            if event.mapping is not None:  # wanted back, or dead: either way it has to go
                mappings.pop(event.mapping.name).detach()
                if not mappings:
                    break
    except Terminated:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for mapping in mappings.values():
        mapping.detach()
    print("let go of all layers", flush=True)


def main() -> None:
    signal.signal(signal.SIGTERM, terminate)
    take_device()
    {"exporter": run_exporter, "importer": run_importer}[sys.argv[1]]()
    npu_ipc.close()


if __name__ == "__main__":
    main()
