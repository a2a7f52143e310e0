"""sudo: `alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id`.

Whoever runs sudo chooses the directory and the command, and either may read ` ; USER=nobody ; COMMAND=/bin/true`. Where
a field comes twice nothing is claimed of it: the user that was meant is unknown, all values are kept under `unmapped`,
in `repeated`, and the severity is high.
"""

from __future__ import annotations

from typing import Any, Final

from sluiceway.receivers.security_log.header import Header
from sluiceway.receivers.security_log.ocsf import Class, Event, Kind, Outcome, Severity
from sluiceway.receivers.security_log.presets.preset import Preset

__all__ = ["SUDO"]

_PRODUCT: Final = {"name": "sudo", "vendor_name": "Sudo Project"}
_SUDO: Final[dict[str, Any]] = {
    "service": {"name": "sudo"},
    "account_switch_type_id": 1,
    "account_switch_type": "Substitute User",
}
_SWITCH: Final = (7, "Account Switch")

ALLOWED: Final = Kind(Class.AUTHENTICATION, _SWITCH, Outcome.SUCCESS, _PRODUCT, **_SUDO)
DENIED: Final = Kind(Class.AUTHENTICATION, _SWITCH, Outcome.FAILURE, _PRODUCT, severity=Severity.MEDIUM, **_SUDO)
FORGED: Final = Kind(Class.AUTHENTICATION, _SWITCH, Outcome.SUCCESS, _PRODUCT, severity=Severity.HIGH, **_SUDO)
FORGED_DENIED: Final = Kind(Class.AUTHENTICATION, _SWITCH, Outcome.FAILURE, _PRODUCT, severity=Severity.HIGH, **_SUDO)

_NAMES: Final = {
    "TTY": "tty", "CHROOT": "chroot", "PWD": "working_directory", "GROUP": "group", "TSID": "tsid",
    "ENV": "environment", "COMMAND": "command",
}  # fmt: skip


def parse(message: str, header: Header) -> Event | None:
    """The event of a message of sudo; None for other messages, such as those of PAM."""
    invoker, colon, rest = message.lstrip(" ").partition(" : ")
    if not colon or " " in invoker:
        return None
    values, reason = _fields(rest)
    if "COMMAND" not in values or "USER" not in values:
        return None
    once = {key: found[0] for key, found in values.items() if len(found) == 1}
    unmapped: dict[str, Any] = {_NAMES[key]: value for key, value in once.items() if key in _NAMES}
    if reason:
        unmapped["reason"] = reason
    is_forged = len(once) < len(values)
    if is_forged:
        unmapped["repeated"] = {key: found for key, found in values.items() if len(found) > 1}
    kind = (FORGED_DENIED if reason else FORGED) if is_forged else (DENIED if reason else ALLOWED)
    target: dict[str, Any] = {"name": once["USER"]} if "USER" in once else {"name": "unknown", "type_id": 0}
    fields: dict[str, Any] = {"user": target, "actor": {"user": {"name": invoker}}}
    if header.pid:
        fields["actor"]["process"] = {"name": "sudo", "pid": header.pid}
    if once.get("TTY", "unknown") != "unknown":
        fields["session"] = {"terminal": unmapped.pop("tty")}
    if header.host:
        fields["dst_endpoint"] = {"hostname": header.host}
    return Event(kind, fields, user=invoker, pid=header.pid, unmapped=unmapped)


def _fields(text: str) -> tuple[dict[str, list[str]], str]:
    """The fields in their order, and what is said before the first one: why the command was refused."""
    values: dict[str, list[str]] = {}
    reason: list[str] = []
    last = ""
    for part in text.split(" ; "):
        key, equals, value = part.partition("=")
        if equals and (key in _NAMES or key == "USER"):
            last = key
            values.setdefault(key, []).append(value)
        elif last:
            values[last][-1] += f" ; {part}"
        else:
            reason.append(part)
    return values, " ; ".join(reason)


SUDO: Final = Preset("sudo", parse, ("sudo",))
