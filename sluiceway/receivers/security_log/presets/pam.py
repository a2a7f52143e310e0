"""PAM's own lines, whichever program writes them, and those of su, passwd and the programs that change accounts.

`pam_unix(su:auth): authentication failure; logname= uid=1000 euid=0 tty=/dev/pts/0 ruser=alice rhost=  user=root`: the
name that was tried stands last and may hold anything, so that the fields before it are taken from the left.

su tells of each attempt once more in a line of its own, and so do sshd and sudo. Where these presets are in use too,
PAM's line is mapped to the activity `Preauth`, which does not count as an attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sluiceway.receivers.security_log.header import Header
from sluiceway.receivers.security_log.ocsf import Class, Event, Kind, Outcome, Severity, endpoint
from sluiceway.receivers.security_log.presets.preset import Preset

__all__ = ["pam"]

_PRODUCT: Final = {"name": "Linux-PAM", "vendor_name": "Linux-PAM"}
_SHADOW: Final = {"name": "shadow", "vendor_name": "shadow-utils"}


def _kind(activity: tuple[int, str], outcome: Outcome, severity: Severity = Severity.INFORMATIONAL) -> Kind:
    return Kind(Class.AUTHENTICATION, activity, outcome, _PRODUCT, severity=severity)


FAILED: Final = _kind((1, "Logon"), Outcome.FAILURE, Severity.LOW)
FAILED_BEFORE: Final = _kind((6, "Preauth"), Outcome.FAILURE, Severity.LOW)
OPENED: Final = _kind((1, "Logon"), Outcome.SUCCESS)
OPENED_AFTER: Final = _kind((99, "Session Opened"), Outcome.SUCCESS)
CLOSED: Final = _kind((2, "Logoff"), Outcome.SUCCESS)
SWITCHED: Final = _kind((7, "Account Switch"), Outcome.SUCCESS)
NOT_SWITCHED: Final = _kind((7, "Account Switch"), Outcome.FAILURE, Severity.MEDIUM)
PASSWORD: Final = Kind(Class.ACCOUNT_CHANGE, (3, "Password Change"), Outcome.SUCCESS, _PRODUCT)
CREATED: Final = Kind(Class.ACCOUNT_CHANGE, (1, "Create"), Outcome.SUCCESS, _SHADOW, severity=Severity.LOW)
DELETED: Final = Kind(Class.ACCOUNT_CHANGE, (6, "Delete"), Outcome.SUCCESS, _SHADOW, severity=Severity.LOW)
CHANGED: Final = Kind(Class.ACCOUNT_CHANGE, (99, "Change"), Outcome.SUCCESS, _SHADOW, severity=Severity.LOW)
LOCKED: Final = Kind(Class.ACCOUNT_CHANGE, (9, "Lock"), Outcome.SUCCESS, _SHADOW, severity=Severity.LOW)
UNLOCKED: Final = Kind(Class.ACCOUNT_CHANGE, (12, "Unlock"), Outcome.SUCCESS, _SHADOW, severity=Severity.LOW)
GROUP_CREATED: Final = Kind(Class.GROUP_MANAGEMENT, (6, "Create"), Outcome.SUCCESS, _SHADOW)
GROUP_DELETED: Final = Kind(Class.GROUP_MANAGEMENT, (5, "Delete"), Outcome.SUCCESS, _SHADOW)
GROUP_JOINED: Final = Kind(Class.GROUP_MANAGEMENT, (3, "Add User"), Outcome.SUCCESS, _SHADOW, severity=Severity.LOW)

_Fields = dict[str, Any]
_ORDER: Final = ("logname=", "uid=", "euid=", "tty=", "ruser=", "rhost=", "user=")
_UNIX_USER: Final = "0123456789"


def pam(told: frozenset[str]) -> Preset:
    """The preset; `told` are the programs whose own lines another preset reads."""
    return Preset("pam", partial(_parse, told | {"su"}), ())


def _parse(told: frozenset[str], message: str, header: Header) -> Event | None:
    is_told = header.program in told
    if message.startswith("pam_"):
        return _module(message, header, is_told)
    if message.startswith("PAM "):
        return _more(message, header, FAILED_BEFORE if is_told else FAILED)
    by_program = _PROGRAMS.get(header.program)
    return by_program(message, header) if by_program is not None else None


def _module(message: str, header: Header, is_told: bool) -> Event | None:
    """`pam_unix(sshd:auth): ...`."""
    module, _, text = message.partition("): ")
    service, _, _ = module.partition("(")[2].partition(":")
    if not service or " " in module:
        return None
    if text.startswith("authentication failure; "):
        return _failure(text[24:], service, header, FAILED_BEFORE if is_told else FAILED)
    if text.startswith("session opened for user "):
        # The name is followed by "(uid=0) by root(uid=0)" or "by root(uid=0)".
        user, _, by = text[24:].partition(" by ")
        user, _, uid = user.partition("(uid=")
        return _session(OPENED_AFTER if is_told else OPENED, user, uid.rstrip(")"), by, service, header)
    if text.startswith("session closed for user "):
        return _session(CLOSED, text[24:], "", "", service, header)
    if text.startswith("password changed for "):
        fields: _Fields = {"user": {"name": text[21:]}}
        return Event(PASSWORD, fields, user=text[21:], pid=header.pid, unmapped={"service": service})
    return None


def _more(message: str, header: Header, kind: Kind) -> Event | None:
    """`PAM 2 more authentication failures; logname= ...`, when a program that let people try again gives up."""
    head, found, text = message.partition("; ")
    _, number, *words = head.split(" ")
    if not found or words not in (["more", "authentication", "failures"], ["more", "authentication", "failure"]):
        return None
    event = _failure(text, header.program, header, kind)
    event.unmapped = {**(event.unmapped or {}), "failures": number}
    return event


def _failure(text: str, service: str, header: Header, kind: Kind) -> Event:
    values: dict[str, str] = {}
    text = f" {text}"
    for key, following in zip(_ORDER, (*_ORDER[1:], ""), strict=True):
        _, found, rest = text.partition(f" {key}")
        if not found:
            continue
        value = rest.partition(f" {following}")[0] if following else rest
        values[key[:-1]] = value.strip(" ")
        text = rest[len(value) :] if following else ""
    user = values.pop("user", "")
    address = values.pop("rhost", "")
    fields = _who(user, service, header)
    if address:
        fields["src_endpoint"] = endpoint(address)
    if values.get("ruser"):
        fields["actor"] = {"user": {"name": values["ruser"]}}
    unmapped = {key: value for key, value in values.items() if value}
    return Event(kind, fields, user=user, source=address, pid=header.pid, unmapped=unmapped)


def _session(kind: Kind, user: str, uid: str, by: str, service: str, header: Header) -> Event:
    fields = _who(user, service, header)
    if uid:
        fields["user"]["uid"] = uid
    invoker = by.partition("(")[0].strip(" ")
    if invoker:
        fields["actor"] = {"user": {"name": invoker}}
    return Event(kind, fields, user=user, pid=header.pid)


def _who(user: str, service: str, header: Header) -> _Fields:
    fields: _Fields = {"user": {"name": user} if user else {"name": "", "type_id": 0}, "service": {"name": service}}
    if header.host:
        fields["dst_endpoint"] = {"hostname": header.host}
    if header.pid:
        fields["logon_process"] = {"name": header.program or service, "pid": header.pid}
    return fields


def _su(message: str, header: Header) -> Event | None:
    """`(to root) alice on pts/0`, `FAILED SU (to root) alice on pts/0`."""
    is_failed = message.startswith("FAILED SU ")
    text = message.removeprefix("FAILED SU ")
    if not text.startswith("(to "):
        return None
    target, found, rest = text[4:].partition(") ")
    invoker, separator, terminal = rest.rpartition(" on ")
    if not (found and separator):
        return None
    fields = _who(target, "su", header)
    fields |= {"actor": {"user": {"name": invoker}}, "session": {"terminal": terminal}}
    return Event(NOT_SWITCHED if is_failed else SWITCHED, fields, user=invoker, pid=header.pid)


def _account(verbs: dict[str, Kind], message: str, header: Header) -> Event | None:
    """`new user: name=bob, UID=1001, GID=1001, home=/home/bob, shell=/bin/sh, from=none`, `delete user 'bob'`, ..."""
    for verb, kind in verbs.items():
        if message.startswith(verb):
            name = _named(message[len(verb) :])
            if not name:
                return None
            is_group = kind.class_uid == Class.GROUP_MANAGEMENT.value[0]
            fields: _Fields = {"group" if is_group else "user": {"name": name}}
            if kind is GROUP_JOINED:
                fields["group"] = {"name": _quoted(message.rpartition("group ")[2])}
                fields["user"] = {"name": name}
            user = "" if is_group and kind is not GROUP_JOINED else name
            return Event(kind, fields, user=user, pid=header.pid, unmapped={"details": message})
    return None


def _named(text: str) -> str:
    if text.startswith("name="):
        return text[5:].partition(",")[0]
    return _quoted(text)


def _quoted(text: str) -> str:
    return text[1:].partition("'")[0] if text[:1] == "'" else text.partition(" ")[0].rstrip(",")


_PROGRAMS: Final[dict[str, Callable[[str, Header], Event | None]]] = {
    "su": _su,
    "useradd": partial(_account, {"new user: ": CREATED, "new group: ": GROUP_CREATED, "add ": GROUP_JOINED}),
    "userdel": partial(_account, {"delete user ": DELETED, "removed group ": GROUP_DELETED}),
    "usermod": partial(
        _account,
        {"add ": GROUP_JOINED, "lock user ": LOCKED, "unlock user ": UNLOCKED, "change user ": CHANGED},
    ),
    "groupadd": partial(_account, {"new group: ": GROUP_CREATED}),
    "groupdel": partial(_account, {"group ": GROUP_DELETED}),
}
