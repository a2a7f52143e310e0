"""RFC 3164 and RFC 5424: from a message to the attributes, the time and the severity of an entry.

All is read from left to right in one pass. Names and values are those of the Collector's `syslog_parser`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from sluiceway.stanza.entry import Entry
from sluiceway.stanza.syslog.times import rfc3339, yearless

__all__ = ["Parse", "Protocol", "parser"]

Protocol: TypeAlias = Literal["rfc3164", "rfc5424"]
Parse: TypeAlias = Callable[[Entry, str], None]
"""Reads a message into an entry; raises `ValueError`, and then the entry is as it was."""

_SEVERITIES: Final = (
    (21, "emerg"), (19, "alert"), (18, "crit"), (17, "err"), (13, "warning"), (10, "notice"), (9, "info"), (5, "debug"),
)  # fmt: skip
_FACILITIES: Final = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
)  # fmt: skip


def parser(protocol: Protocol, zone: tzinfo, *, allow_skip_pri_header: bool = False) -> Parse:
    """What reads messages of a protocol; `zone` is that of RFC 3164's times, which name none."""
    read = partial(_rfc3164, zone) if protocol == "rfc3164" else _rfc5424
    return partial(_parse, read, allow_skip_pri_header)


_Read: TypeAlias = "Callable[[str, int, dict[str, Any]], int]"  # text, now, attributes to fill; gives the time


def _parse(read: _Read, allow_skip: bool, entry: Entry, text: str) -> None:
    attributes: dict[str, Any] = {}
    priority, rest = _priority(text, allow_skip)
    time = read(rest, entry.observed, attributes)
    if priority >= 0:
        facility = priority >> 3
        attributes |= {"priority": priority, "facility": facility, "facility_text": _FACILITIES[facility]}
        entry.severity, entry.severity_text = _SEVERITIES[priority & 7]
    entry.time = time
    entry.attributes |= attributes


def _priority(text: str, allow_skip: bool) -> tuple[int, str]:
    """The number in angle brackets and what follows; -1 where it is missing and may be."""
    if text[:1] != "<":
        if allow_skip:
            return -1, text
        raise ValueError("expecting a priority value within angle brackets")
    end = text.find(">", 1, 5)
    digits = text[1:end] if end > 0 else ""
    if not (digits.isascii() and digits.isdigit() and int(digits) < 192):
        raise ValueError("expecting a priority value in the range 1-191 or equal to 0")
    return int(digits), text[end + 1 :]


def _rfc3164(zone: tzinfo, text: str, now: int, attributes: dict[str, Any]) -> int:
    """`Nov 26 11:14:00 host tag[123]: message`; the time may be RFC 3339's as well."""
    if text[3:4] == " " and text[9:10] == ":" and text[15:16] == " ":
        time, rest = yearless(text[:15], now, zone), text[16:]
    else:
        stamp, _, rest = text.partition(" ")
        time = rfc3339(stamp)
    if not time:
        raise ValueError("expecting a Stamp timestamp")
    hostname, _, rest = rest.partition(" ")
    if not hostname:
        raise ValueError("expecting an hostname (from 1 to max 255 US-ASCII characters)")
    attributes["hostname"] = hostname
    tag, colon, message = rest.partition(":")
    if not colon or " " in tag or not tag:
        attributes["message"] = rest
        return time
    name, bracket, process = tag.partition("[")
    attributes["appname"] = name
    if bracket and process.endswith("]"):
        attributes["proc_id"] = process[:-1]
    attributes["message"] = message.removeprefix(" ")
    return time


def _rfc5424(text: str, now: int, attributes: dict[str, Any]) -> int:
    """`1 2026-11-26T11:14:00.5Z host app 123 ID47 [sd@1 key="value"] message`; `-` is nothing."""
    del now  # its times have a year
    parts = text.split(" ", 6)
    version = parts[0]
    if not (version.isascii() and version.isdigit() and len(version) < 4 and version[0] != "0"):
        raise ValueError("expecting a version value in the range 1-999")
    if len(parts) < 7:
        raise ValueError("expecting a header of seven fields")
    time = 0 if parts[1] == "-" else rfc3339(parts[1])
    if not time and parts[1] != "-":
        raise ValueError("expecting a RFC3339MICRO timestamp or a nil value")
    attributes["version"] = int(version)
    for name, value in zip(("hostname", "appname", "proc_id", "msg_id"), parts[2:6], strict=True):
        if not value:
            raise ValueError(f"expecting a {name} or a nil value")
        if value != "-":
            attributes[name] = value
    rest = parts[6]
    if rest[:1] == "[":
        attributes["structured_data"], rest = _structured(rest)
    elif rest[:1] == "-" and rest[1:2] in ("", " "):
        rest = rest[1:]
    else:
        raise ValueError("expecting a structured data section containing one or more elements or a nil value")
    if rest:
        attributes["message"] = rest[1:].removeprefix("\ufeff")
    return time


def _structured(text: str) -> tuple[dict[str, dict[str, str]], str]:
    """The elements `[id key="value" ...]` at the beginning of a text, and what follows them."""
    found: dict[str, dict[str, str]] = {}
    at = 0
    while text[at : at + 1] == "[":
        ends = (text.find(sign, at, at + 34) for sign in " ]")  # an id has 32 characters at most
        end = min((place for place in ends if place >= 0), default=-1)
        name = text[at + 1 : end]
        if end < 0 or not name or name in found or len(name) > 32:
            raise ValueError("expecting a structured data element id (from 1 to max 32 US-ASCII characters)")
        values = found[name] = {}
        at = end
        while text[at : at + 1] == " ":
            key, equals, _ = text[at + 1 : at + 36].partition('="')
            if not equals or not key:
                raise ValueError("expecting a structured data parameter (from 1 to max 32 US-ASCII characters)")
            values[key], at = _quoted(text, at + len(key) + 3)
        if text[at : at + 1] != "]":
            raise ValueError("expecting the end of a structured data element")
        at += 1
    if text[at : at + 1] not in ("", " "):
        raise ValueError("expecting a space behind the structured data")
    return found, text[at:]


def _quoted(text: str, start: int) -> tuple[str, int]:
    """A value up to its quotation mark, and the place behind this; a backslash escapes `"`, `]` and itself."""
    parts: list[str] = []
    at = start
    quote, slash = text.find('"', at), text.find("\\", at)
    while 0 <= slash < quote:  # each is looked for again only once it was passed, so that this stays linear
        escaped = text[slash + 1]
        parts += (text[at:slash], escaped if escaped in '"]\\' else text[slash : slash + 2])
        at = slash + 2
        if quote < at:
            quote = text.find('"', at)
        slash = text.find("\\", at)
    if quote < 0:
        raise ValueError("expecting the end of a structured data parameter's value")
    return "".join((*parts, text[at:quote])) if parts else text[at:quote], quote + 1
