"""What each source tells about a line: the text, and the header that was read already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sluiceway.receivers.security_log.header import Header
from sluiceway.receivers.security_log.mapping import Found, Mapping, visible
from sluiceway.stanza import Entry

__all__ = ["Source", "from_file", "from_journal", "from_syslog"]

Source: TypeAlias = Callable[[Mapping, Entry], tuple[str, Found | None]]


def from_file(mapping: Mapping, entry: Entry) -> tuple[str, Found | None]:
    """The line of a file, and the event in it."""
    text = _text(entry.body)
    return text, mapping.line(text, entry.observed)


def from_journal(mapping: Mapping, entry: Entry) -> tuple[str, Found | None]:
    """An entry of the journal. The name of its program is the program's own word; `process.executable.path` is not."""
    fields = entry.body if isinstance(entry.body, dict) else {"MESSAGE": entry.body}  # operators came before
    text = _text(fields.get("MESSAGE"))
    program = _text(fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM"))
    header = Header(entry.time, _text(fields.get("_HOSTNAME")), program, _number(fields.get("_PID")))
    executable = _text(fields.get("_EXE"))
    entry.attributes = {"process.executable.path": executable} if executable else {}
    return text, mapping.message(visible(text), header, entry.observed)


def from_syslog(mapping: Mapping, entry: Entry) -> tuple[str, Found | None]:
    """A message that came over the network; one that could not be read is taken as a line."""
    text, parts = _text(entry.body), entry.attributes
    entry.attributes = {name: value for name, value in parts.items() if name.startswith("net.")}
    if "appname" not in parts:
        return text, mapping.line(text, entry.observed)
    host = visible(_text(parts.get("hostname")))
    header = Header(entry.time, host, _text(parts["appname"]), _number(parts.get("proc_id")))
    message = visible(_text(parts.get("message"))).lstrip(" ")  # rsyslog sends a blank in front
    return text, mapping.message(message, header, entry.observed)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list):  # how journalctl tells bytes that are no text
        if value and not isinstance(value[0], int):  # a field that stands there several times
            return _text(value[0])
        return bytes(byte & 0xFF for byte in value if isinstance(byte, int)).decode(errors="replace")
    return "" if value is None else str(value)


def _number(value: Any) -> int:
    text = _text(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
