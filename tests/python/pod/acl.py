"""As much of AscendCL, by ctypes, as these tests' programs need."""

import ctypes

HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3  # acl: aclrtMemcpyKind
_library = None


def call(name, *arguments):
    code = getattr(_library, name)(*arguments)
    if code != 0:
        raise RuntimeError(f"{name} failed with {code}")


def start(device=0):
    """Loads it, as any CANN program does, and takes a device for this thread."""
    global _library
    _library = ctypes.CDLL("libascendcl.so")
    call("aclInit", None)
    use(device)


def use(device):
    call("aclrtSetDevice", ctypes.c_int32(device))


def malloc(nbytes):
    pointer = ctypes.c_void_p()
    call("aclrtMalloc", ctypes.byref(pointer), ctypes.c_size_t(nbytes), 0)
    return pointer.value


def write(pointer, data):
    size = ctypes.c_size_t(len(data))
    call("aclrtMemcpy", ctypes.c_void_p(pointer), size, data, size, HOST_TO_DEVICE)


def read(pointer, nbytes):
    data = ctypes.create_string_buffer(nbytes)
    size = ctypes.c_size_t(nbytes)
    call("aclrtMemcpy", data, size, ctypes.c_void_p(pointer), size, DEVICE_TO_HOST)
    return data.raw


def copy_on_device(to, source, nbytes):
    """The only copy that reaches another card's memory."""
    stream = ctypes.c_void_p()
    size = ctypes.c_size_t(nbytes)
    call("aclrtCreateStream", ctypes.byref(stream))
    to, source = ctypes.c_void_p(to), ctypes.c_void_p(source)
    call("aclrtMemcpyAsync", to, size, source, size, DEVICE_TO_DEVICE, stream)
    call("aclrtSynchronizeStream", stream)
    call("aclrtDestroyStream", stream)


def read_remote(pointer, nbytes):
    own = malloc(nbytes)
    copy_on_device(own, pointer, nbytes)
    return read(own, nbytes)


def write_remote(pointer, data):
    own = malloc(len(data))
    write(own, data)
    copy_on_device(pointer, own, len(data))
