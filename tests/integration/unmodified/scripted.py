"""A Python program that uses AscendCL through ctypes; commands.txt says what it does."""

import ctypes
import os
import sys
import threading

KEY_BYTES = 65
PRINTED_ERRNO = 42
HUGE_FIRST = 0
HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3

acl = ctypes.CDLL("libascendcl.so", mode=os.RTLD_NOW | os.RTLD_LOCAL, use_errno=True)
block = ctypes.c_void_p()
block_bytes = 4 << 20


class Failure(Exception):
    """A vendor call returned another code than 0."""


def call(name, *arguments):
    code = getattr(acl, name)(*arguments)
    if code != 0:
        raise Failure(f"{code} {name} errno={ctypes.get_errno()}")


def observed(name, *arguments):
    """The call, with errno as it is after it."""
    ctypes.set_errno(PRINTED_ERRNO)
    call(name, *arguments)
    return f"errno={ctypes.get_errno()}"


def device(number):
    acl.aclInit(None)
    call("aclrtSetDevice", ctypes.c_int32(int(number)))


def malloc(size):
    global block_bytes
    block_bytes = int(size)
    call("aclrtMalloc", ctypes.byref(block), ctypes.c_size_t(block_bytes), HUGE_FIRST)


def export(flags):
    key = ctypes.create_string_buffer(KEY_BYTES)
    after = observed("aclrtIpcMemGetExportKey", block, ctypes.c_size_t(block_bytes), key,
                     ctypes.c_size_t(KEY_BYTES), ctypes.c_uint64(int(flags)))
    return f"key={key.value.decode()} {after}"


def export_locked(flags):
    lock = threading.Lock()
    answers = []
    seen = []

    def see():
        with lock:
            seen.extend(answers)

    with lock:
        other = threading.Thread(target=see)
        other.start()
        answers.append(export(flags))
    other.join()
    return seen[0]


def tgid():
    pid = ctypes.c_int32()
    call("aclrtDeviceGetBareTgid", ctypes.byref(pid))
    return f"pid={pid.value}"


def allow(key, *pids):
    listed = (ctypes.c_int32 * len(pids))(*map(int, pids))
    return observed("aclrtIpcMemSetImportPid", key.encode(), listed, ctypes.c_size_t(len(pids)))


def import_(key, flags):
    return observed("aclrtIpcMemImportByKey", ctypes.byref(block), key.encode(),
                    ctypes.c_uint64(int(flags)))


def copy(to, source):
    stream = ctypes.c_void_p()
    size = ctypes.c_size_t(block_bytes)
    call("aclrtCreateStream", ctypes.byref(stream))
    call("aclrtMemcpyAsync", to, size, source, size, DEVICE_TO_DEVICE, stream)
    call("aclrtSynchronizeStream", stream)
    acl.aclrtDestroyStream(stream)


def staging_block():
    staging = ctypes.c_void_p()
    call("aclrtMalloc", ctypes.byref(staging), ctypes.c_size_t(block_bytes), HUGE_FIRST)
    return staging


def write(first_word):
    count = block_bytes // 8
    words = (ctypes.c_uint64 * count)(*range(int(first_word), int(first_word) + count))
    size = ctypes.c_size_t(block_bytes)
    staging = staging_block()
    call("aclrtMemcpy", staging, size, words, size, HOST_TO_DEVICE)
    copy(block, staging)
    acl.aclrtFree(staging)


def read():
    count = block_bytes // 8
    words = (ctypes.c_uint64 * count)()
    size = ctypes.c_size_t(block_bytes)
    staging = staging_block()
    copy(staging, block)
    call("aclrtMemcpy", words, size, staging, size, DEVICE_TO_HOST)
    acl.aclrtFree(staging)
    whole = list(words) == list(range(words[0], words[0] + count))
    return f"whole={'yes' if whole else 'no'} first_word={words[0]}"


def close(key):
    return observed("aclrtIpcMemClose", key.encode())


def fork(key):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, str(acl.aclrtIpcMemClose(key.encode())).encode())
        while True:
            threading.Event().wait()
    return f"closed={os.read(reading, 64).decode()}"


COMMANDS = {
    "device": device, "malloc": malloc, "export": export, "export-locked": export_locked,
    "tgid": tgid, "pid": lambda: f"pid={os.getpid()}", "allow": allow, "import": import_,
    "write": write, "read": read, "close": close, "fork": fork,
}

for line in sys.stdin:
    command, *rest = line.split()
    try:
        print("ok", COMMANDS[command](*rest) or "", flush=True)
    except Failure as failure:
        print("error", failure, flush=True)
