"""A program that shares memory as CANN's documentation says, and knows nothing of npu-ipc.

The exporter gives its key to whoever connects; the importer fetches it, imports, reads and answers.
"""

import ctypes
import socket
import sys
import time
from typing import Tuple

PORT = 7070
NBYTES = 64 << 20
QUESTION = bytes(range(256)) * 16
ANSWER = QUESTION[::-1]
WAIT_SECONDS = 120.0

KEY_BYTES = 65  # 64 printable characters and a NUL
DISABLE_PID_VALIDATION = 1  # acl: ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION
ENABLE_PEER_ACCESS = 1  # acl: ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS
HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3  # acl: aclrtMemcpyKind


def acl(name: str, *arguments: object) -> None:
    code = getattr(ctypes.CDLL("libascendcl.so"), name)(*arguments)
    if code != 0:
        sys.exit(f"{name} failed with {code}")


def allocate() -> ctypes.c_void_p:
    pointer = ctypes.c_void_p()
    acl("aclrtMalloc", ctypes.byref(pointer), ctypes.c_size_t(NBYTES), 0)
    return pointer


def copy(to: object, source: object, kind: int) -> None:
    size = ctypes.c_size_t(len(QUESTION))
    acl("aclrtMemcpy", to, size, source, size, kind)


def copy_between_cards(to: ctypes.c_void_p, source: ctypes.c_void_p) -> None:
    stream, size = ctypes.c_void_p(), ctypes.c_size_t(len(QUESTION))
    acl("aclrtCreateStream", ctypes.byref(stream))
    acl("aclrtMemcpyAsync", to, size, source, size, DEVICE_TO_DEVICE, stream)
    acl("aclrtSynchronizeStream", stream)


def read(pointer: ctypes.c_void_p) -> bytes:
    data = ctypes.create_string_buffer(len(QUESTION))
    copy(data, pointer, DEVICE_TO_HOST)
    return data.raw


def wait_until_answered(pointer: ctypes.c_void_p) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while read(pointer) != ANSWER:
        if time.monotonic() > deadline:
            sys.exit(f"no importer answered within {WAIT_SECONDS} s")
        time.sleep(0.01)


def run_exporter() -> None:
    pointer = allocate()
    copy(pointer, QUESTION, HOST_TO_DEVICE)
    key = ctypes.create_string_buffer(KEY_BYTES)
    size, flags = ctypes.c_size_t(NBYTES), ctypes.c_uint64(DISABLE_PID_VALIDATION)
    acl("aclrtIpcMemGetExportKey", pointer, size, key, ctypes.c_size_t(KEY_BYTES), flags)
    with socket.create_server(("", PORT)) as server:
        print("waiting for an importer", flush=True)
        connection, _ = server.accept()
        with connection:
            connection.sendall(key.value)
            connection.shutdown(socket.SHUT_WR)
            wait_until_answered(pointer)
            connection.recv(1)  # its end: the importer has closed the key
    acl("aclrtIpcMemClose", key)
    acl("aclrtFree", pointer)
    print("answered", flush=True)


def fetch_key(host: str) -> Tuple[socket.socket, bytes]:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection = socket.create_connection((host, PORT), timeout=WAIT_SECONDS)
            return connection, connection.makefile("rb").read()
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"{host}: {error}")
            time.sleep(0.5)


def run_importer() -> None:
    connection, key = fetch_key(sys.argv[2])
    mapped, own = ctypes.c_void_p(), allocate()
    flags = ctypes.c_uint64(ENABLE_PEER_ACCESS)
    acl("aclrtIpcMemImportByKey", ctypes.byref(mapped), key, flags)
    copy_between_cards(own, mapped)
    if read(own) != QUESTION:
        sys.exit("the memory does not hold what the exporter wrote")
    copy(own, ANSWER, HOST_TO_DEVICE)
    copy_between_cards(mapped, own)
    acl("aclrtIpcMemClose", key)
    connection.close()
    print("answered", flush=True)


def main() -> None:
    acl("aclInit", None)
    acl("aclrtSetDevice", ctypes.c_int32(0))
    {"exporter": run_exporter, "importer": run_importer}[sys.argv[1]]()


if __name__ == "__main__":
    main()
