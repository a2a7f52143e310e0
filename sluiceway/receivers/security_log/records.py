"""Events as the entries that become log records."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, TypeAlias

from sluiceway.escape import escape
from sluiceway.receivers.security_log.ocsf import Event
from sluiceway.stanza import Entry

__all__ = ["OnUnmapped", "Raw", "mapped", "unmapped"]

OnUnmapped: TypeAlias = Literal["keep", "drop", "tag"]
Raw: TypeAlias = Literal["keep", "hash", "drop"]


def mapped(entry: Entry, text: str, event: Event, raw: Raw) -> None:
    """Make the entry of a line that of the event in it; `raw` says what is kept of the line."""
    kind, body = event.kind, event.body()
    if raw == "keep":
        body["raw_data"] = text if text.isprintable() else escape(text)
    elif raw == "hash":
        body["raw_data_hash"] = {"algorithm": "SHA-256", "algorithm_id": 3, "value": _digest(text)}
        body["raw_data_size"] = len(text.encode(errors="replace"))
    found: dict[str, Any] = {"user.name": event.user, "source.address": event.source, "process.pid": event.pid}
    entry.attributes = entry.attributes | {name: value for name, value in found.items() if value}
    entry.body = body
    entry.time = event.time
    entry.severity = kind.severity_number
    entry.severity_text = kind.constant["severity"]
    entry.event_name = kind.event_name


def unmapped(entry: Entry, text: str, on_unmapped: OnUnmapped, raw: Raw) -> None:
    """Make the entry that of a line which no preset knows."""
    if on_unmapped == "tag":
        entry.attributes = entry.attributes | {"security.unmapped": True}
    entry.body = {"keep": escape(text), "hash": f"sha256:{_digest(text)}", "drop": None}[raw]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
