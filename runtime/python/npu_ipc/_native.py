"""npu_ipc.h, and nothing more: its structs, its functions, and where the library is found."""

from __future__ import annotations

import ctypes
import functools
import os
from ctypes import POINTER, c_char, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, List, NamedTuple, Optional, Type, TypeVar

from npu_ipc.errors import LibraryNotFound
from npu_ipc.status import Status

# Where the device plugin mounts it, in every container. It sets NPU_IPC_LIBRARY to the same path.
CONTAINER_PATH = "/usr/local/lib/npu-ipc/libnpu_ipc.so"
SONAME = "libnpu_ipc.so.0"
FOREVER = 0xFFFFFFFF  # NPU_IPC_FOREVER


class OpenOptions(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("socket_path", c_char_p),
        ("timeout_ms", c_uint32),
    ]


class Identity(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("pid", c_int32),
        ("host_pid", c_int32),
        ("pod_namespace", c_char * 64),
        ("pod_name", c_char * 256),
        ("pod_uid", c_char * 64),
        ("container_id", c_char * 80),
        ("container_name", c_char * 64),
        ("groups", c_char * 256),
    ]


class PublishOptions(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("group", c_char_p),
        ("view_offset", c_size_t),
        ("view_bytes", c_size_t),
    ]


class RegionInfo(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("generation", c_uint64),
        ("device", c_uint32),
        ("withdrawn", c_int32),
    ]


class AttachOptions(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("group", c_char_p),
        ("wait_ms", c_uint32),
    ]


class MappingInfo(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("dev_ptr", c_void_p),
        ("bytes", c_size_t),
        ("generation", c_uint64),
        ("state", c_int),
        ("device", c_uint32),
        ("exporter_device", c_uint32),
        ("exporter_host_pid", c_int32),
        ("exporter_namespace", c_char * 64),
        ("exporter_pod", c_char * 256),
        ("exporter_pod_uid", c_char * 64),
    ]


class Event(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("type", c_int),
        ("mapping", c_void_p),
        ("region", c_void_p),
        ("subscription", c_void_p),
    ]


class RegionDescription(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("group", c_char * 128),
        ("name", c_char * 128),
        ("generation", c_uint64),
        ("allocation_bytes", c_size_t),
        ("bytes", c_size_t),
        ("exporter_device", c_uint32),
        ("exporter_host_pid", c_int32),
        ("importers", c_uint32),
        ("exporter_namespace", c_char * 64),
        ("exporter_pod", c_char * 256),
        ("exporter_pod_uid", c_char * 64),
    ]


class ListOptions(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("group", c_char_p),
        ("prefix", c_char_p),
        ("after", c_char_p),
    ]


class SubscribeOptions(ctypes.Structure):
    _fields_ = [
        ("struct_bytes", c_size_t),
        ("group", c_char_p),
        ("prefix", c_char_p),
        ("admit_ahead", c_int32),
        ("max_waiting", c_uint32),
    ]


_Struct = TypeVar("_Struct", bound=ctypes.Structure)


def sized(struct: Type[_Struct], **fields: Any) -> _Struct:
    """A struct of the C API that says its own size."""
    return struct(struct_bytes=ctypes.sizeof(struct), **fields)


def encoded(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else text.encode()


class Function(NamedTuple):
    name: str
    result: Any
    arguments: List[Any]


FUNCTIONS = (
    Function("npu_ipc_status_name", c_char_p, [c_int]),
    Function("npu_ipc_status_string", c_char_p, [c_int]),
    Function("npu_ipc_version", c_char_p, []),
    Function("npu_ipc_last_error", c_int, [c_void_p, c_char_p, c_size_t]),
    Function("npu_ipc_last_vendor_code", c_int32, [c_void_p]),
    Function("npu_ipc_open", c_int, [POINTER(OpenOptions), POINTER(c_void_p)]),
    Function("npu_ipc_close", None, [c_void_p]),
    Function("npu_ipc_whoami", c_int, [c_void_p, POINTER(Identity)]),
    Function(
        "npu_ipc_publish",
        c_int,
        [c_void_p, c_char_p, c_void_p, c_size_t, POINTER(PublishOptions), POINTER(c_void_p)],
    ),
    Function("npu_ipc_region_get_info", c_int, [c_void_p, POINTER(RegionInfo)]),
    Function("npu_ipc_withdraw", c_int, [c_void_p, c_uint32, c_int]),
    Function(
        "npu_ipc_attach",
        c_int,
        [c_void_p, c_char_p, POINTER(AttachOptions), POINTER(c_void_p)],
    ),
    Function("npu_ipc_mapping_get_info", c_int, [c_void_p, POINTER(MappingInfo)]),
    Function("npu_ipc_detach", c_int, [c_void_p]),
    Function("npu_ipc_list", c_int, [c_void_p, POINTER(ListOptions), POINTER(RegionDescription)]),
    Function("npu_ipc_subscribe", c_int, [c_void_p, POINTER(SubscribeOptions), POINTER(c_void_p)]),
    Function(
        "npu_ipc_subscription_next",
        c_int,
        [c_void_p, c_uint32, POINTER(c_int), POINTER(RegionDescription)],
    ),
    Function("npu_ipc_unsubscribe", c_int, [c_void_p]),
    Function("npu_ipc_next_event", c_int, [c_void_p, c_uint32, POINTER(Event)]),
    Function("npu_ipc_event_fd", c_int, [c_void_p]),
)


def candidates() -> List[str]:
    """Where the library is looked for, in this order.

    What NPU_IPC_LIBRARY names is not fallen back from: a program that names its library gets that
    one, or is told that it is not there.
    """
    named = os.environ.get("NPU_IPC_LIBRARY")
    return [named] if named else [CONTAINER_PATH, SONAME]


def load(path: Optional[str] = None) -> ctypes.CDLL:
    """The library with its functions declared; LibraryNotFound says where it was looked for.

    CDLL releases the GIL in every call.
    """
    tried: List[str] = []
    for candidate in [path] if path else candidates():
        try:
            return _declare(ctypes.CDLL(candidate), candidate)
        except OSError as error:
            tried.append(f"{candidate} ({error})")
    raise LibraryNotFound(
        "load libnpu_ipc.so",
        Status.NOT_FOUND,
        "; ".join(tried),
        advice="In a pod the device plugin mounts it: the pod must ask for an NPU, or for "
        "npu-ipc.io/share. Elsewhere, set NPU_IPC_LIBRARY.",
    )


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """The library that this process uses. A failure is not kept: the next call looks again."""
    return load()


def _declare(library: ctypes.CDLL, path: str) -> ctypes.CDLL:
    for name, result, arguments in FUNCTIONS:
        try:
            function = getattr(library, name)
        except AttributeError:
            raise LibraryNotFound(
                f"load {path}",
                Status.UNSUPPORTED,
                f"it has no {name}",
                advice="The library is older than this package: use the one that the node injects "
                "with a package of its release.",
            ) from None
        function.restype = result
        function.argtypes = arguments
    return library
