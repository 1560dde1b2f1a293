"""What goes wrong, by what a program can do about it.

Every error says which call failed on what (`str(error)`), and carries

* `status`: the C API's status (or the nearest one, of an error that was found in Python),
* `cause`: what happened, in the broker's or the library's own words,
* `vendor_code`: the aclError behind it; 0 where no vendor call failed,
* `advice`: what to do about it.
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple, Type

from npu_ipc.status import Status

CONTEXT_NULL = 107002  # acl: ACL_ERROR_RT_CONTEXT_NULL


class NpuIpcError(Exception):
    """The base of all errors of this package."""

    def __init__(
        self, call: str, status: Status, cause: str = "", vendor_code: int = 0, advice: str = ""
    ) -> None:
        self.call = call
        self.status = status
        self.cause = cause
        self.vendor_code = vendor_code
        self.advice = advice or _advice(status, vendor_code)
        super().__init__(self._text())

    def _text(self) -> str:
        parts = [f"{self.call}: {self.status.name}"]
        if self.cause:
            parts.append(f": {self.cause}")
        if self.vendor_code:
            parts.append(f" [aclError {self.vendor_code}]")
        if self.advice:
            parts.append(f"\n{self.advice}")
        return "".join(parts)

    def __reduce__(self) -> Tuple[object, ...]:
        return (
            type(self),
            (self.call, self.status, self.cause, self.vendor_code, self.advice),
        )


class LibraryNotFound(NpuIpcError, ImportError):
    """No libnpu_ipc.so that this package can use."""


class BrokerUnavailable(NpuIpcError, ConnectionError):
    """The node's broker is away, or on its way out: try again."""


class NotAllowed(NpuIpcError):
    """This pod may not do that: an annotation, a role, or the cluster's policy."""


class NotFound(NpuIpcError, LookupError):
    """No such region."""


class NameTaken(NpuIpcError):
    """A live exporter holds the name."""


class TimedOut(NpuIpcError, TimeoutError):
    """The wait has ended."""


class ExporterGone(NpuIpcError):
    """The exporter ended or withdrew meanwhile."""


class ExporterFailed(NpuIpcError):
    """The exporter could not let this process in."""


class LimitExceeded(NpuIpcError):
    """Too many, or too much, of something; the cause says of what."""


class Unsupported(NpuIpcError):
    """The broker or the vendor's library is too old for this."""


class Unreachable(NpuIpcError):
    """The two devices cannot reach each other."""


class StillHeld(NpuIpcError):
    """Importers had not detached when the drain time ended. The region is still ours."""


class StillInUse(NpuIpcError, BufferError):
    """Tensors, or a region, still use the memory that was to be given up."""


class InvalidArgument(NpuIpcError, ValueError):
    """An argument that the library does not accept."""


class NotExportable(InvalidArgument):
    """Memory that is no whole allocation, which is all that the driver exports."""


class Ended(InvalidArgument):
    """The object was closed, withdrawn, detached or freed before."""


class NoVendorLibrary(NpuIpcError):
    """AscendCL is not loaded in this process, or lacks a function."""


class VendorError(NpuIpcError):
    """A vendor call failed; `vendor_code` has its code."""


class WrongProcess(NpuIpcError):
    """The object was made before a fork."""


class OutOfMemory(NpuIpcError, MemoryError):
    """The host is out of memory, threads or descriptors."""


_CLASSES: Dict[Status, Type[NpuIpcError]] = {
    Status.VERSION_MISMATCH: Unsupported,
    Status.NOT_IN_POD: NotAllowed,
    Status.UNKNOWN_POD: NotAllowed,
    Status.NO_GROUP: NotAllowed,
    Status.BAD_ANNOTATION: NotAllowed,
    Status.NOT_IN_GROUP: NotAllowed,
    Status.ROLE_DENIED: NotAllowed,
    Status.POLICY_DENIED: NotAllowed,
    Status.NAMESPACE_DENIED: NotAllowed,
    Status.CLAIM_CONTRADICTED: NotAllowed,
    Status.NAME_TAKEN: NameTaken,
    Status.NOT_FOUND: NotFound,
    Status.TIMED_OUT: TimedOut,
    Status.EXPORTER_GONE: ExporterGone,
    Status.EXPORTER_FAILED: ExporterFailed,
    Status.LIMIT: LimitExceeded,
    Status.PEER_LIMIT: LimitExceeded,
    Status.QUOTA_EXCEEDED: LimitExceeded,
    Status.UNSUPPORTED: Unsupported,
    Status.SHUTTING_DOWN: BrokerUnavailable,
    Status.NO_BROKER: BrokerUnavailable,
    Status.DISCONNECTED: BrokerUnavailable,
    Status.UNREACHABLE: Unreachable,
    Status.STILL_HELD: StillHeld,
    Status.INVALID_ARGUMENT: InvalidArgument,
    Status.NO_VENDOR_LIBRARY: NoVendorLibrary,
    Status.VENDOR_ERROR: VendorError,
    Status.WRONG_PROCESS: WrongProcess,
    Status.NO_MEMORY: OutOfMemory,
}

_ADVICE: Dict[Status, str] = {
    Status.MALFORMED: "Library and broker disagree on a message: report it.",
    Status.VERSION_MISMATCH: "Use the library that this node's device plugin injects.",
    Status.NOT_IN_POD: "Run this in a pod.",
    Status.UNKNOWN_POD: "Try again in a moment; see that the broker reaches the API server.",
    Status.NO_GROUP: "Annotate the pod, and its template, with npu-ipc.io/group.",
    Status.BAD_ANNOTATION: "Correct the annotation that is quoted.",
    Status.NOT_IN_GROUP: "Name a group of this pod's npu-ipc.io/group annotation.",
    Status.ROLE_DENIED: "Give the pod that role in its npu-ipc.io/group annotation.",
    Status.NAME_TAKEN: "Choose another name, or withdraw the region that holds it.",
    Status.NOT_FOUND: "See npu_ipc.list() for what is there.",
    Status.TIMED_OUT: "Exporter and importer must run on one node (podAffinity), in one group; "
    "the exporter must have published.",
    Status.EXPORTER_GONE: "Attach again when the exporter is back.",
    Status.EXPORTER_FAILED: "See the exporter's own log.",
    Status.LIMIT: "Give up what is not needed any more.",
    Status.SHUTTING_DOWN: "Try again.",
    Status.UNREACHABLE: "Choose devices that are linked: npu-smi info -t topo.",
    Status.STILL_HELD: "Wait for the importers that are named and withdraw again, or force it.",
    Status.PEER_LIMIT: "Let fewer processes share between these two devices.",
    Status.POLICY_DENIED: "The cluster's operator decides that.",
    Status.NAMESPACE_DENIED: "The other side must name this namespace in "
    "npu-ipc.io/allow-namespaces.",
    Status.QUOTA_EXCEEDED: "Withdraw what is not needed, or raise the limit that is named.",
    Status.NO_BROKER: "The pod must ask for an NPU or npu-ipc.io/share, and the broker must run "
    "on the node.",
    Status.NO_VENDOR_LIBRARY: "Load AscendCL first: import torch_npu, or "
    'ctypes.CDLL("libascendcl.so").',
    Status.VENDOR_ERROR: "The code is AscendCL's; the driver's log says more.",
    Status.WRONG_PROCESS: "Nothing of npu_ipc, and no device memory, survives a fork: open a "
    'client in the child, or use the start method "spawn".',
    Status.DISCONNECTED: "Try again.",
}


def _advice(status: Status, vendor_code: int) -> str:
    if vendor_code == CONTEXT_NULL:
        return (
            "This thread has no context: call torch.npu.set_device() or aclrtSetDevice() in it "
            "first."
        )
    return _ADVICE.get(status, "")


def error_for(call: str, status: int, cause: str = "", vendor_code: int = 0) -> NpuIpcError:
    """The exception of a status that the C API returned, also of one that is newer than we are."""
    try:
        known = Status(status)
    except ValueError:
        return NpuIpcError(call, Status.INTERNAL, f"status {status}: {cause}", vendor_code)
    return _CLASSES.get(known, NpuIpcError)(call, known, cause, vendor_code)


def ends_all_the_same(error: Optional[NpuIpcError]) -> bool:
    """Whether the C API has freed the region or mapping whose end answered this."""
    if error is None:
        return True
    return error.status == Status.VENDOR_ERROR and error.vendor_code != CONTEXT_NULL
