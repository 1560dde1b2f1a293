"""The C API's constants, under their C names' last parts. Values are fixed for ever."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    OK = 0
    MALFORMED = 1
    VERSION_MISMATCH = 2
    NOT_IN_POD = 3
    UNKNOWN_POD = 4
    NO_GROUP = 5
    BAD_ANNOTATION = 6
    NOT_IN_GROUP = 7
    ROLE_DENIED = 8
    NAME_TAKEN = 9
    NOT_FOUND = 10
    TIMED_OUT = 11
    EXPORTER_GONE = 12
    EXPORTER_FAILED = 13
    LIMIT = 14
    UNSUPPORTED = 15
    RECONNECT = 16
    SHUTTING_DOWN = 17
    UNREACHABLE = 18
    STILL_HELD = 19
    PEER_LIMIT = 20
    INTERNAL = 21
    POLICY_DENIED = 22
    NAMESPACE_DENIED = 23
    QUOTA_EXCEEDED = 24
    CLAIM_CONTRADICTED = 25
    INVALID_ARGUMENT = 64
    NO_BROKER = 65
    NO_VENDOR_LIBRARY = 66
    VENDOR_ERROR = 67
    WRONG_PROCESS = 68
    NO_MEMORY = 69
    DISCONNECTED = 70
    NO_EVENT = 71


class MappingState(enum.IntEnum):
    LIVE = 0
    WITHDRAWING = 1  # the exporter wants it back: detach
    EXPORTER_GONE = 2  # dead: every access fails on the device; detach
    REVOKED = 3  # the right to it was taken back: detach
    ROTATED = 4  # its key is renewed, and it dies in some seconds: detach, then attach again


class EventType(enum.IntEnum):
    WITHDRAWING = 1  # a mapping's exporter wants it back
    EXPORTER_GONE = 2
    REVOKED = 3
    REGION_LOST = 4  # a region of ours is no longer published
    DISCONNECTED = 5  # the broker went away; mappings go on working
    RECONNECTED = 6  # it is back and knows again what this client shares
    ROTATED = 7  # a mapping's key is renewed: detach, then attach again
    SUBSCRIPTION = 8  # changes wait in a subscription


class ChangeType(enum.IntEnum):
    PUBLISHED = 1  # it is there (again, with a higher generation)
    ADMITTED = 2  # it is there, and an attach to it need not wait for its exporter
    GONE = 3  # only group, name and (unless 0) generation are set
    RESET = 4  # forget all that was told: it is told from the start
