"""The connection to the node's broker, and what is made with it."""

from __future__ import annotations

from ctypes import byref, c_void_p
from typing import Any, Dict, List, NamedTuple, Optional, Union

from npu_ipc import _native
from npu_ipc._connection import Connection
from npu_ipc._events import Event, Events, event_fd, next_event
from npu_ipc._mapping import Mapping
from npu_ipc._memory import DeviceMemory, Memory, end_of_block, extent, find_block
from npu_ipc._region import Region
from npu_ipc._subscription import RegionDescription, Subscription, description
from npu_ipc._time import milliseconds
from npu_ipc._vendor import current_device
from npu_ipc.errors import InvalidArgument, NotExportable
from npu_ipc.status import Status


class Identity(NamedTuple):
    """Who the broker says this process is."""

    pid: int
    host_pid: int
    pod_namespace: str
    pod_name: str
    pod_uid: str
    container_id: str
    container_name: str
    groups: Dict[str, str]
    """This pod's role in each of its groups."""


class Client:
    """A connection to the node's broker, until `close()` (or the end of a `with` block).

    Any thread may call any method of it, and of what it makes. Vendor calls are made on the calling
    thread in publish, attach, detach and withdraw, and need its context (torch.npu.set_device). A
    child of a fork opens its own: what it inherits raises WrongProcess. A client that shares
    something lives until it is closed, also where the program has dropped it.
    """

    def __init__(
        self, *, socket_path: Optional[str] = None, timeout: Optional[float] = 5.0
    ) -> None:
        """Connects, and is identified. `timeout`: for the broker, here and in later calls.

        BrokerUnavailable, NotAllowed, Unsupported, LimitExceeded, LibraryNotFound.
        """
        self._connection = Connection(socket_path, timeout)

    def whoami(self) -> Identity:
        """Does not ask again: it is what the broker said when the client was opened."""
        raw = _native.sized(_native.Identity)
        connection = self._connection
        with connection.guard.use("whoami"):
            status = connection.library.npu_ipc_whoami(connection.handle, byref(raw))
            connection.check("whoami", status)
        groups = (entry.partition(":") for entry in raw.groups.decode().split(",") if entry)
        return Identity(
            int(raw.pid),
            int(raw.host_pid),
            raw.pod_namespace.decode(),
            raw.pod_name.decode(),
            raw.pod_uid.decode(),
            raw.container_id.decode(),
            raw.container_name.decode(),
            {name: role for name, _, role in groups},
        )

    def publish(
        self,
        name: str,
        memory: Union[int, DeviceMemory],
        nbytes: Optional[int] = None,
        *,
        group: Optional[str] = None,
        view_offset: int = 0,
        view_nbytes: int = 0,
    ) -> Region:
        """Shares memory under `name` with the pods of the group (default: the pod's only one).

        `memory` is a whole allocation of aclrtMalloc, as pointer and `nbytes` (with the region as a
        part of it, if a view is given); or `empty()`'s memory; or anything with `data_ptr()` and
        `nbytes` (a tensor) that lies in such memory. Importers can reach the whole allocation,
        which must stay allocated, with the thread's context, until it is withdrawn.

        NotExportable, NameTaken, NotAllowed, LimitExceeded, BrokerUnavailable, TimedOut,
        VendorError, NoVendorLibrary, InvalidArgument.
        """
        call = f"publish {name!r}"
        block: Optional[Memory] = None
        if isinstance(memory, Mapping):
            raise NotExportable(
                call,
                Status.INVALID_ARGUMENT,
                "it is another process' memory: the driver does not export it again",
                advice="Let its exporter publish it to whoever needs it.",
            )
        if isinstance(memory, int):
            if nbytes is None:
                raise InvalidArgument(
                    call,
                    Status.INVALID_ARGUMENT,
                    "a pointer needs the size of its allocation",
                    advice="publish(name, ptr, nbytes)",
                )
            pointer, allocated = memory, nbytes
        else:
            start, size = extent(call, memory)
            block = find_block(call, start, size)
            pointer, allocated = block.ptr, block.allocated_nbytes
            view_nbytes = view_nbytes or size - view_offset
            view_offset += start - pointer
        options = _native.sized(
            _native.PublishOptions,
            group=_native.encoded(group),
            view_offset=view_offset,
            view_bytes=view_nbytes,
        )
        connection, handle = self._connection, c_void_p()
        with connection.guard.use(call):
            if block is not None:
                block.hold()
            status = connection.library.npu_ipc_publish(
                connection.handle,
                _native.encoded(name),
                pointer,
                allocated,
                byref(options),
                byref(handle),
            )
            if status != Status.OK:
                if block is not None:
                    block.let_go()
                raise connection.error(call, status)
            region = Region(connection, handle, name, block, memory)
            connection.remember(handle, region)
        return region

    def attach(
        self, name: str, *, group: Optional[str] = None, timeout: Optional[float] = 10.0
    ) -> Mapping:
        """Attaches to the region `name`, on the device of this thread; no copy is made.

        Waits up to `timeout` seconds (None: for ever) until it is published and its exporter lets
        this process in; Ctrl-C is heard after that. Each attach is a mapping of its own.

        TimedOut, NotAllowed, ExporterGone, ExporterFailed, Unreachable, LimitExceeded,
        BrokerUnavailable, VendorError, NoVendorLibrary.
        """
        call = f"attach {name!r}"
        options = _native.sized(
            _native.AttachOptions, group=_native.encoded(group), wait_ms=milliseconds(timeout)
        )
        connection, handle = self._connection, c_void_p()
        info = _native.sized(_native.MappingInfo)
        with connection.guard.use(call):
            status = connection.library.npu_ipc_attach(
                connection.handle, _native.encoded(name), byref(options), byref(handle)
            )
            connection.check(call, status)
            status = connection.library.npu_ipc_mapping_get_info(handle, byref(info))
            connection.check(call, status)
            mapping = Mapping(connection, handle, name, info, current_device())
            connection.remember(handle, mapping)
        return mapping

    def list(self, prefix: str = "", *, group: Optional[str] = None) -> List[RegionDescription]:
        """The group's regions whose names begin with `prefix`, in the order of their names' bytes.

        Asks for one after the other: what comes or goes meanwhile may be missed; `subscribe()`
        misses nothing.
        """
        connection = self._connection
        regions: List[RegionDescription] = []
        while True:
            options = _native.sized(
                _native.ListOptions,
                group=_native.encoded(group),
                prefix=_native.encoded(prefix),
                after=_native.encoded(regions[-1].name if regions else None),
            )
            raw = _native.sized(_native.RegionDescription)
            with connection.guard.use("list"):
                status = connection.library.npu_ipc_list(
                    connection.handle, byref(options), byref(raw)
                )
                if status == Status.NOT_FOUND:
                    return regions
                connection.check("list", status)
            regions.append(description(raw))

    def subscribe(
        self,
        prefix: str = "",
        *,
        group: Optional[str] = None,
        admit_ahead: bool = False,
        max_waiting: int = 0,
    ) -> Subscription:
        """Tells of the names of a group that begin with `prefix`: there, coming and going.

        `admit_ahead`: exporters let this process in at once, for the device of this thread, so that
        a later attach need not wait for them; the driver's list of a key is never shortened, so ask
        for what will be attached to. `max_waiting`: names with unread changes (0: 4096).
        """
        call = f"subscribe to {prefix!r}"
        options = _native.sized(
            _native.SubscribeOptions,
            group=_native.encoded(group),
            prefix=_native.encoded(prefix),
            admit_ahead=int(admit_ahead),
            max_waiting=max_waiting,
        )
        connection, handle = self._connection, c_void_p()
        with connection.guard.use(call):
            status = connection.library.npu_ipc_subscribe(
                connection.handle, byref(options), byref(handle)
            )
            connection.check(call, status)
            subscription = Subscription(connection, handle, prefix)
            connection.remember(handle, subscription)
        return subscription

    def next_event(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event, oldest first; None where none came within `timeout` seconds."""
        return next_event(self._connection, timeout)

    def events(self) -> Events:
        """What is told unasked, until the client is closed: `for`, or `async for`."""
        return Events(self._connection)

    def event_fd(self) -> int:
        """A descriptor that is readable while an event waits, for poll: do not read or close it.

        -1: it could not be made.
        """
        return event_fd(self._connection)

    def close(self) -> None:
        """Ends it, and all that was made with it. A second time does nothing.

        Calls in other threads that wait for events come back; others are waited for. Regions are
        withdrawn without waiting for importers, and mappings that were not detached stay mapped
        until the process ends (a ResourceWarning): detach and withdraw first.
        """
        self._connection.close()

    @property
    def closed(self) -> bool:
        return self._connection.guard.ended

    def __enter__(self) -> Client:
        return self

    def __exit__(self, error_type: Any, error: Any, traceback: Any) -> None:
        end_of_block(self.close, error)
