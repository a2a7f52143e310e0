"""The audit daemon: `type=USER_LOGIN msg=audit(1700000000.123:456): pid=1 ... msg='op=login acct="root" res=failed'`.

Each record is taken alone, also where several make one event of the kernel (they share the number behind the colon,
which becomes `metadata.correlation_uid`). Texts from outside are quoted or written in hexadecimal digits by the kernel,
so that they hold no space. What `log_format = ENRICHED` adds behind a separator is kept under `unmapped`.
"""

from __future__ import annotations

from typing import Any, Final

from sluiceway.escape import escape
from sluiceway.receivers.security_log.header import Header
from sluiceway.receivers.security_log.ocsf import Class, Event, Kind, Outcome, Severity, endpoint, host
from sluiceway.receivers.security_log.presets.preset import Preset

__all__ = ["AUDITD", "SEPARATOR"]

SEPARATOR: Final = "\n"
"""What stands before the enriched part of a record: no other control character comes through the escaping."""

_PRODUCT: Final = {"name": "Linux audit", "vendor_name": "Linux"}
_ACTIVITIES: Final = {
    "USER_AUTH": (Class.AUTHENTICATION, (6, "Preauth")),
    "USER_LOGIN": (Class.AUTHENTICATION, (1, "Logon")),
    "USER_LOGOUT": (Class.AUTHENTICATION, (2, "Logoff")),
    "USER_START": (Class.AUTHENTICATION, (99, "Session Opened")),
    "USER_END": (Class.AUTHENTICATION, (2, "Logoff")),
    "USER_ERR": (Class.AUTHENTICATION, (6, "Preauth")),
    "ANOM_LOGIN_FAILURES": (Class.AUTHENTICATION, (6, "Preauth")),
    "USER_CHAUTHTOK": (Class.ACCOUNT_CHANGE, (3, "Password Change")),
    "ADD_USER": (Class.ACCOUNT_CHANGE, (1, "Create")),
    "DEL_USER": (Class.ACCOUNT_CHANGE, (6, "Delete")),
    "USER_MGMT": (Class.ACCOUNT_CHANGE, (99, "Change")),
    "ACCT_LOCK": (Class.ACCOUNT_CHANGE, (9, "Lock")),
    "ACCT_UNLOCK": (Class.ACCOUNT_CHANGE, (12, "Unlock")),
    "ADD_GROUP": (Class.GROUP_MANAGEMENT, (6, "Create")),
    "DEL_GROUP": (Class.GROUP_MANAGEMENT, (5, "Delete")),
    "GRP_MGMT": (Class.GROUP_MANAGEMENT, (99, "Change")),
    "USER_CMD": (Class.PROCESS, (1, "Launch")),
    "EXECVE": (Class.PROCESS, (1, "Launch")),
    "SYSCALL": (Class.PROCESS, (99, "System Call")),
    "ANOM_ABEND": (Class.PROCESS, (2, "Terminate")),
}
_SEVERITIES: Final = {Outcome.FAILURE: Severity.LOW}
_KINDS: Final = {
    (name, outcome): Kind(cls, activity, outcome, _PRODUCT, severity=_SEVERITIES.get(outcome, Severity.INFORMATIONAL))
    for name, (cls, activity) in _ACTIVITIES.items()
    for outcome in Outcome
}
_OUTCOMES: Final = {
    "success": Outcome.SUCCESS, "yes": Outcome.SUCCESS, "1": Outcome.SUCCESS,
    "failed": Outcome.FAILURE, "no": Outcome.FAILURE, "0": Outcome.FAILURE,
}  # fmt: skip
_UNSET: Final = ("4294967295", "-1", "?", "unset", "(none)", "")

_Fields = dict[str, Any]


def parse(message: str, header: Header) -> Event | None:
    """The event of one record."""
    record, _, enriched = message.partition(SEPARATOR)
    node = ""
    if record.startswith("node="):
        node, _, record = record[5:].partition(" ")
    if not record.startswith("type="):
        return None
    name, _, rest = record[5:].partition(" ")
    if name not in _ACTIVITIES or not rest.startswith("msg=audit("):
        return None
    stamp, _, rest = rest[10:].partition("): ")
    time, _, serial = stamp.partition(":")
    values = _values(rest)
    outcome = _OUTCOMES.get(values.get("res", values.get("success", "")), Outcome.UNKNOWN)
    kind = _KINDS[name, outcome]
    machine = node or header.host
    event = _EVENTS[kind.class_uid](kind, values, machine)
    event.fields["metadata"] = {**kind.constant["metadata"], "correlation_uid": serial, "event_code": name}
    seconds, _, fraction = time.partition(".")
    event.time = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or "0")
    event.unmapped = values | ({"enriched": enriched} if enriched else {})
    return event


def _values(text: str) -> dict[str, str]:
    """The fields, those inside of `msg='...'` too; of those that come twice the first."""
    values: dict[str, str] = {}
    for part in text.replace(" msg='", " ").removesuffix("'").split(" "):
        key, equals, value = part.partition("=")
        if equals and len(values) < 256:
            values.setdefault(key.lstrip("'"), _value(key, value))
    return values


_TEXTS: Final = frozenset({"acct", "cmd", "comm", "cwd", "exe", "proctitle", "name", "hostname", "terminal", "data"})


def _value(key: str, value: str) -> str:
    if value[:1] == '"':
        return value.strip('"')
    value = value.partition("'")[0]  # where the separator was lost, the enriched part follows the quotation mark
    is_argument = key[:1] == "a" and key[1:].isdigit()
    if (key in _TEXTS or (is_argument and len(value) > 3)) and len(value) > 1 and len(value) % 2 == 0:
        try:
            return escape(bytes.fromhex(value).decode(errors="replace").replace("\0", " "))
        except ValueError:
            pass
    return value


def _authentication(kind: Kind, values: dict[str, str], machine: str) -> Event:
    user = _take_user(values)
    fields: _Fields = {"user": user, "service": {"name": _base(values.get("exe", "")) or "auditd"}}
    source = _take_source(fields, values)
    if machine:
        fields["dst_endpoint"] = {"hostname": machine}
    pid = _pid(values)
    if pid:
        fields["logon_process"] = {"pid": pid, "path": values.get("exe", "")}
    if values.get("terminal", "?") not in _UNSET:
        fields["session"] = {"terminal": values.pop("terminal")}
    return Event(kind, fields, user=user.get("name", ""), source=source, pid=pid)


def _account(kind: Kind, values: dict[str, str], _machine: str) -> Event:
    user = _take_user(values)
    fields: _Fields = {"user": user, "actor": _actor(values)}
    source = _take_source(fields, values)
    return Event(kind, fields, user=user.get("name", ""), source=source, pid=_pid(values))


def _group(kind: Kind, values: dict[str, str], _machine: str) -> Event:
    name = values.pop("acct", "") or values.pop("grp", "")
    fields: _Fields = {"group": {"name": name}, "actor": _actor(values)}
    return Event(kind, fields, pid=_pid(values))


def _process(kind: Kind, values: dict[str, str], machine: str) -> Event:
    pid = _pid(values)
    arguments = [values[f"a{n}"] for n in range(64) if f"a{n}" in values] if "argc" in values else []
    command = values.pop("cmd", "") or " ".join(arguments) or values.get("proctitle", "")
    path = values.get("exe", "")
    process: _Fields = {"pid": pid} if pid else {"uid": "unknown"}
    for key, value in (
        ("cmd_line", command), ("path", path), ("name", values.get("comm", "") or _base(path)),
        ("working_directory", values.pop("cwd", "")),
    ):  # fmt: skip
        if value:
            process[key] = value
    actor = _actor(values)
    user = actor.get("user", {}).get("uid", "")
    return Event(kind, {"process": process, "actor": actor, "device": host(machine)}, user=user, pid=pid)


def _take_user(values: dict[str, str]) -> _Fields:
    name = values.pop("acct", "")
    if name not in _UNSET:
        return {"name": name}
    uid = values.get("id", "") or values.get("auid", "")
    return {"uid": uid} if uid not in _UNSET else {"name": "unknown", "type_id": 0}


def _take_source(fields: _Fields, values: dict[str, str]) -> str:
    address = values.pop("addr", "?")
    if address in _UNSET:
        return ""  # `hostname` is then this machine's own
    fields["src_endpoint"] = endpoint(address)
    return address


def _actor(values: dict[str, str]) -> _Fields:
    for key in ("auid", "uid"):  # who logged in, before any change of identity
        if values.get(key, "") not in _UNSET:
            return {"user": {"uid": values[key]}}
    return {"app_name": "auditd"}


def _pid(values: dict[str, str]) -> int:
    text = values.get("pid", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0


def _base(path: str) -> str:
    return path.rpartition("/")[2]


_EVENTS: Final = {
    Class.AUTHENTICATION.value[0]: _authentication, Class.ACCOUNT_CHANGE.value[0]: _account,
    Class.GROUP_MANAGEMENT.value[0]: _group, Class.PROCESS.value[0]: _process,
}  # fmt: skip

AUDITD: Final = Preset("auditd", parse, ("audit", "auditd", "audispd", "audisp-syslog"), whole=True)
