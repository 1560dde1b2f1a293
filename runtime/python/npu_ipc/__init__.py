"""Share Ascend NPU memory with other pods of this node.

    import npu_ipc

    memory = npu_ipc.empty(1 << 30)                 # one pod
    region = npu_ipc.publish("weights-0", memory)

    mapping = npu_ipc.attach("weights-0")           # another pod: the same memory
    tensor = torch.from_dlpack(mapping)

Both pods need the annotation `npu-ipc.io/group: NAME`. The functions here are those of a default
client, opened at the first of them; `Client` makes more.
"""

from npu_ipc._client import Client, Identity
from npu_ipc._default import (
    attach,
    client,
    close,
    empty,
    events,
    next_event,
    publish,
    subscribe,
    whoami,
)
from npu_ipc._default import list as list  # not in __all__: a star import keeps its own
from npu_ipc._events import Event, Events
from npu_ipc._mapping import Exporter, Mapping
from npu_ipc._memory import DeviceMemory, Memory
from npu_ipc._region import Region
from npu_ipc._subscription import Change, RegionDescription, Subscription
from npu_ipc._version import __version__
from npu_ipc.errors import (
    BrokerUnavailable,
    Ended,
    ExporterFailed,
    ExporterGone,
    InvalidArgument,
    LibraryNotFound,
    LimitExceeded,
    NameTaken,
    NotAllowed,
    NotExportable,
    NotFound,
    NoVendorLibrary,
    NpuIpcError,
    OutOfMemory,
    StillHeld,
    StillInUse,
    TimedOut,
    Unreachable,
    Unsupported,
    VendorError,
    WrongProcess,
)
from npu_ipc.status import ChangeType, EventType, MappingState, Status

__all__ = [
    "BrokerUnavailable",
    "Change",
    "ChangeType",
    "Client",
    "DeviceMemory",
    "Ended",
    "Event",
    "EventType",
    "Events",
    "Exporter",
    "ExporterFailed",
    "ExporterGone",
    "Identity",
    "InvalidArgument",
    "LibraryNotFound",
    "LimitExceeded",
    "Mapping",
    "MappingState",
    "Memory",
    "NameTaken",
    "NoVendorLibrary",
    "NotAllowed",
    "NotExportable",
    "NotFound",
    "NpuIpcError",
    "OutOfMemory",
    "Region",
    "RegionDescription",
    "Status",
    "StillHeld",
    "StillInUse",
    "Subscription",
    "TimedOut",
    "Unreachable",
    "Unsupported",
    "VendorError",
    "WrongProcess",
    "__version__",
    "attach",
    "client",
    "close",
    "empty",
    "events",
    "next_event",
    "publish",
    "subscribe",
    "whoami",
]
