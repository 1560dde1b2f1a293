"""The connection to the node's broker, and what is made with it."""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from ctypes import byref, c_void_p
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, TypeVar, Union

from npu_ipc import _native
from npu_ipc._events import Event, Events
from npu_ipc._guard import Guard
from npu_ipc._mapping import Mapping
from npu_ipc._memory import DeviceMemory, Memory, end_of_block, extent, find_block
from npu_ipc._region import Region
from npu_ipc._subscription import RegionDescription, Subscription, description
from npu_ipc._time import milliseconds, wait_in_slices
from npu_ipc._vendor import current_device
from npu_ipc.errors import InvalidArgument, NotExportable, NpuIpcError, error_for
from npu_ipc.status import EventType, Status

_HAS_VENDOR_CODE = (Status.VENDOR_ERROR, Status.EXPORTER_FAILED)
_T = TypeVar("_T")


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
        self._guard = Guard("the client is closed")
        self._guard.ended = True  # until it is open
        self._pid = os.getpid()
        self._handle = c_void_p()
        self._registered = threading.Condition()
        self._mappings: Dict[int, Mapping] = {}
        self._regions: Dict[int, Region] = {}
        self._subscriptions: Dict[int, Subscription] = {}
        self._wake_at_close: List[Callable[[], object]] = []
        self._library = _native.library()
        options = _native.sized(
            _native.OpenOptions, socket_path=_bytes(socket_path), timeout_ms=milliseconds(timeout)
        )
        status = self._library.npu_ipc_open(byref(options), byref(self._handle))
        if status != Status.OK:
            error = self._error("open", status)
            self._library.npu_ipc_close(self._handle)
            raise error
        self._guard.ended = False

    def whoami(self) -> Identity:
        """Does not ask again: it is what the broker said when the client was opened."""
        raw = _native.sized(_native.Identity)
        with self._guard.use("whoami"):
            self._check("whoami", self._library.npu_ipc_whoami(self._handle, byref(raw)))
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
            group=_bytes(group),
            view_offset=view_offset,
            view_bytes=view_nbytes,
        )
        handle = c_void_p()
        with self._guard.use(call):
            if block is not None:
                block.hold()
            status = self._library.npu_ipc_publish(
                self._handle, _bytes(name), pointer, allocated, byref(options), byref(handle)
            )
            if status != Status.OK:
                if block is not None:
                    block.let_go()
                raise self._error(call, status)
            region = Region(self, handle, name, block, memory)
            self._remember(self._regions, handle, region)
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
            _native.AttachOptions, group=_bytes(group), wait_ms=milliseconds(timeout)
        )
        handle = c_void_p()
        info = _native.sized(_native.MappingInfo)
        with self._guard.use(call):
            self._check(
                call,
                self._library.npu_ipc_attach(
                    self._handle, _bytes(name), byref(options), byref(handle)
                ),
            )
            self._check(call, self._library.npu_ipc_mapping_get_info(handle, byref(info)))
            mapping = Mapping(self, handle, name, info, current_device())
            self._remember(self._mappings, handle, mapping)
        return mapping

    def list(self, prefix: str = "", *, group: Optional[str] = None) -> List[RegionDescription]:
        """The group's regions whose names begin with `prefix`, in the order of their names' bytes.

        Asks for one after the other: what comes or goes meanwhile may be missed; `subscribe()`
        misses nothing.
        """
        regions: List[RegionDescription] = []
        while True:
            options = _native.sized(
                _native.ListOptions,
                group=_bytes(group),
                prefix=_bytes(prefix),
                after=_bytes(regions[-1].name if regions else None),
            )
            raw = _native.sized(_native.RegionDescription)
            with self._guard.use("list"):
                status = self._library.npu_ipc_list(self._handle, byref(options), byref(raw))
                if status == Status.NOT_FOUND:
                    return regions
                self._check("list", status)
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
            group=_bytes(group),
            prefix=_bytes(prefix),
            admit_ahead=int(admit_ahead),
            max_waiting=max_waiting,
        )
        handle = c_void_p()
        with self._guard.use(call):
            self._check(
                call,
                self._library.npu_ipc_subscribe(self._handle, byref(options), byref(handle)),
            )
            subscription = Subscription(self, handle, prefix)
            self._remember(self._subscriptions, handle, subscription)
        return subscription

    def next_event(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event, oldest first; None where none came within `timeout` seconds."""

        def look(wait_ms: int) -> Optional[Event]:
            raw = _native.sized(_native.Event)
            with self._guard.use("next_event"):
                status = self._library.npu_ipc_next_event(self._handle, wait_ms, byref(raw))
                if status == Status.NO_EVENT:
                    return None
                self._check("next_event", status)
                return Event(
                    EventType(raw.type),
                    self._find(self._mappings, raw.mapping),
                    self._find(self._regions, raw.region),
                    self._find(self._subscriptions, raw.subscription),
                )

        return wait_in_slices(timeout, look)

    def events(self) -> Events:
        """What is told unasked, until the client is closed: `for`, or `async for`."""
        return Events(self)

    def event_fd(self) -> int:
        """A descriptor that is readable while an event waits, for poll: do not read or close it.

        -1: it could not be made.
        """
        with self._guard.use("event_fd"):
            return int(self._library.npu_ipc_event_fd(self._handle))

    def close(self) -> None:
        """Ends it, and all that was made with it. A second time does nothing.

        Calls in other threads that wait for events come back; others are waited for. Regions are
        withdrawn without waiting for importers, and mappings that were not detached stay mapped
        until the process ends (a ResourceWarning): detach and withdraw first.
        """
        if self._guard.ended:
            return
        if os.getpid() != self._pid:
            self._guard.ended = True
            self._library.npu_ipc_close(self._handle)  # only frees
            return
        with self._guard.end("close"):
            for wake in list(self._wake_at_close):
                wake()
            if self._mappings:
                names = ", ".join(sorted(mapping.name for mapping in self._mappings.values()))
                warnings.warn(
                    f"closed with mappings that stay mapped: {names}", ResourceWarning, stacklevel=3
                )
            self._guard.ended = True  # before: a signal's exception may be raised after the call
            self._library.npu_ipc_close(self._handle)
            for region in self._regions.values():
                region._let_go()
            _sharing.discard(self)

    @property
    def closed(self) -> bool:
        return self._guard.ended

    def __enter__(self) -> Client:
        return self

    def __exit__(self, error_type: Any, error: Any, traceback: Any) -> None:
        end_of_block(self.close, error)

    def __del__(self) -> None:
        if not self._guard.ended and os.getpid() == self._pid:
            warnings.warn("a client was never closed", ResourceWarning, stacklevel=2)
            self.close()

    def _remember(self, objects: Dict[int, _T], handle: c_void_p, made: _T) -> None:
        with self._registered:
            objects[_key(handle)] = made
            _sharing.add(self)
            self._registered.notify_all()

    def _forget(self, objects: Dict[int, _T], handle: c_void_p) -> None:
        with self._registered:
            del objects[_key(handle)]
            if not (self._mappings or self._regions or self._subscriptions):
                _sharing.discard(self)

    def _find(self, objects: Dict[int, _T], handle: Optional[int]) -> Optional[_T]:
        """An event's object: the call that makes it may not have come back to Python yet."""
        if handle is None:
            return None
        with self._registered:
            self._registered.wait_for(lambda: handle in objects, timeout=1)
            return objects.get(handle)

    def _check(self, call: str, status: int) -> None:
        if status != Status.OK:
            raise self._error(call, status)

    def _failure(self, call: str, status: int) -> Optional[NpuIpcError]:
        return None if status == Status.OK else self._error(call, status)

    def _error(self, call: str, status: int) -> NpuIpcError:
        text = ctypes.create_string_buffer(512)
        vendor_code = 0
        if self._handle:
            self._library.npu_ipc_last_error(self._handle, text, len(text))
            if status in _HAS_VENDOR_CODE:
                vendor_code = self._library.npu_ipc_last_vendor_code(self._handle)
        cause = text.value.decode(errors="replace")
        if not cause:
            cause = self._library.npu_ipc_status_string(status).decode()
        return error_for(call, status, cause, vendor_code)


# Clients that share something: dropping a client does not take back what it publishes.
_sharing: Set[Client] = set()


def _key(handle: c_void_p) -> int:
    return handle.value or 0


def _bytes(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else text.encode()
