"""The two sides of explicit-python: one shares a region, the other answers in it.

AscendCL is called through ctypes, so that an image with CANN and Python will do. With torch_npu the
copies are tensors': see torch.from_dlpack in runtime/python/README.md.
"""

import ctypes
import sys
import time

import npu_ipc

NAME = "weights"
NBYTES = 64 << 20
QUESTION = bytes(range(256)) * 16  # what the exporter writes at the region's start
ANSWER = QUESTION[::-1]  # and the importer in its place
WAIT_SECONDS = 120.0

HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3  # acl: aclrtMemcpyKind


def acl(name: str, *arguments: object) -> None:
    code = getattr(ctypes.CDLL("libascendcl.so"), name)(*arguments)
    if code != 0:
        sys.exit(f"{name} failed with {code}")


def copy(to: object, source: object, nbytes: int, kind: int) -> None:
    size = ctypes.c_size_t(nbytes)
    acl("aclrtMemcpy", to, size, source, size, kind)


def copy_between_cards(to: int, source: int, nbytes: int) -> None:
    """Another card's memory is reached by asynchronous device-to-device copies and kernels only."""
    stream, size = ctypes.c_void_p(), ctypes.c_size_t(nbytes)
    acl("aclrtCreateStream", ctypes.byref(stream))
    kind = DEVICE_TO_DEVICE
    acl("aclrtMemcpyAsync", ctypes.c_void_p(to), size, ctypes.c_void_p(source), size, kind, stream)
    acl("aclrtSynchronizeStream", stream)
    acl("aclrtDestroyStream", stream)


def read(pointer: int, nbytes: int) -> bytes:
    data = ctypes.create_string_buffer(nbytes)
    copy(data, ctypes.c_void_p(pointer), nbytes, DEVICE_TO_HOST)
    return data.raw


def write(pointer: int, data: bytes) -> None:
    copy(ctypes.c_void_p(pointer), data, len(data), HOST_TO_DEVICE)


def run_exporter() -> None:
    with npu_ipc.empty(NBYTES) as memory:
        write(memory.ptr, QUESTION)
        with npu_ipc.publish(NAME, memory) as region:
            print(f"published name={NAME} device={region.device}", flush=True)
            deadline = time.monotonic() + WAIT_SECONDS
            while read(memory.ptr, len(ANSWER)) != ANSWER:
                if time.monotonic() > deadline:
                    sys.exit(f"no importer answered within {WAIT_SECONDS} s")
                time.sleep(0.01)
            print("answered", flush=True)
        # The block's end has waited for the importer to detach.
    print("withdrawn", flush=True)


def run_importer() -> None:
    with npu_ipc.attach(NAME, timeout=WAIT_SECONDS) as mapping, npu_ipc.empty(NBYTES) as own:
        print(
            f"attached bytes={mapping.nbytes} device={mapping.device} "
            f"exporter={mapping.exporter.pod} exporter_device={mapping.exporter.device}",
            flush=True,
        )
        copy_between_cards(own.ptr, mapping.ptr, len(QUESTION))
        if read(own.ptr, len(QUESTION)) != QUESTION:
            sys.exit("the region does not hold what the exporter wrote")
        write(own.ptr, ANSWER)
        copy_between_cards(mapping.ptr, own.ptr, len(ANSWER))
        print("answered", flush=True)
    print("detached", flush=True)


def main() -> None:
    acl("aclInit", None)
    acl("aclrtSetDevice", ctypes.c_int32(0))  # the container's only card
    {"exporter": run_exporter, "importer": run_importer}[sys.argv[1]]()
    npu_ipc.close()


if __name__ == "__main__":
    main()
