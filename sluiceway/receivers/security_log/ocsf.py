"""Events of the Open Cybersecurity Schema Framework: https://schema.ocsf.io, version 1.8.

An event has a part that is the same for all of its kind (class, activity, outcome, severity, product), which is encoded
once, and the fields that one line gives it. Required of every event are `activity_id`, `category_uid`, `class_uid`,
`metadata`, `severity_id`, `time` and `type_uid` = class_uid * 100 + activity_id.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Any, Final, TypeAlias

__all__ = ["VERSION", "Class", "Event", "Kind", "Outcome", "Severity", "endpoint", "host", "is_address"]

VERSION: Final = "1.8.0"

Fields: TypeAlias = "dict[str, Any]"


class Class(Enum):
    """The classes that lines are mapped to: id, name, caption, name of the category."""

    PROCESS = 1007, "process_activity", "Process Activity", "System Activity"
    ACCOUNT_CHANGE = 3001, "account_change", "Account Change", "Identity & Access Management"
    AUTHENTICATION = 3002, "authentication", "Authentication", "Identity & Access Management"
    AUTHORIZE_SESSION = 3003, "authorize_session", "Authorize Session", "Identity & Access Management"
    GROUP_MANAGEMENT = 3006, "group_management", "Group Management", "Identity & Access Management"
    HTTP = 4002, "http_activity", "HTTP Activity", "Network Activity"
    SSH = 4007, "ssh_activity", "SSH Activity", "Network Activity"
    API = 6003, "api_activity", "API Activity", "Application Activity"
    DATASTORE = 6005, "datastore_activity", "Datastore Activity", "Application Activity"


class Outcome(IntEnum):
    """How it ended: `status_id`."""

    UNKNOWN = 0
    SUCCESS = 1
    FAILURE = 2


class Severity(IntEnum):
    """How bad it is: `severity_id`."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


_NUMBERS: Final = {1: 9, 2: 10, 3: 13, 4: 17, 5: 21}
"""OpenTelemetry's SeverityNumber for each."""


class Kind:
    """What is the same for all events of a kind."""

    __slots__ = ("class_uid", "constant", "event_name", "is_logon", "outcome", "severity", "severity_number")

    def __init__(
        self,
        cls: Class,
        activity: tuple[int, str],
        outcome: Outcome,
        product: Mapping[str, Any],
        *,
        severity: Severity = Severity.INFORMATIONAL,
        **more: Any,
    ) -> None:
        uid, name, caption, category = cls.value
        self.class_uid = uid
        self.event_name = f"ocsf.{name}"
        self.outcome = outcome
        self.severity = severity
        self.severity_number = _NUMBERS[severity]
        self.is_logon = cls is Class.AUTHENTICATION and activity[0] in (1, 7)
        self.constant: Fields = {
            "activity_id": activity[0],
            "activity_name": activity[1],
            "category_name": category,
            "category_uid": uid // 1000,
            "class_name": caption,
            "class_uid": uid,
            "metadata": {"product": dict(product), "version": VERSION},
            "severity": severity.name.capitalize(),
            "severity_id": int(severity),
            "status": outcome.name.capitalize(),
            "status_id": int(outcome),
            "type_name": f"{caption}: {activity[1]}",
            "type_uid": uid * 100 + activity[0],
            **more,
        }


class Event:
    """What one line tells. `fields` come on top of what its kind has; `unmapped` is what no field of OCSF holds."""

    __slots__ = ("count", "fields", "kind", "pid", "source", "time", "unmapped", "user")

    def __init__(
        self,
        kind: Kind,
        fields: Fields,
        *,
        user: str = "",
        source: str = "",
        pid: int = 0,
        time: int = 0,
        unmapped: Fields | None = None,
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.user = user
        self.source = source
        self.pid = pid
        self.time = time
        """Nanoseconds since the epoch; 0 for that of the line's header."""
        self.unmapped = unmapped
        self.count = 1
        """How often it happened: more than once where the writer of the log joined lines that are alike."""

    def body(self) -> Fields:
        """The whole event."""
        body = {**self.kind.constant, **self.fields, "time": self.time // 1_000_000}
        if self.unmapped:
            body["unmapped"] = self.unmapped
        if self.count > 1:
            body["count"] = self.count
        return body


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    return len(text) <= 64 and _is_address(text)


@lru_cache(maxsize=8192)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def endpoint(address: str, port: str | int = 0) -> Fields:
    """An endpoint by its IP address (`fe80::1%eth0` has an interface) or name, and its port if that is one."""
    found: Fields
    if is_address(address):
        ip, _, interface = address.partition("%")
        found = {"ip": ip, "interface_name": interface} if interface else {"ip": ip}
    else:
        found = {"hostname": address}
    number = port if isinstance(port, int) else int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    if 0 < number < 65_536:
        found["port"] = number
    return found


def host(name: str) -> Fields:
    """The machine on which something happened, as a device."""
    return {"hostname": name, "type_id": 0}
