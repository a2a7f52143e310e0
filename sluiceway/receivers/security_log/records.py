"""Events as log records: LogsData written without protobuf objects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from struct import Struct
from typing import Any, Final, Literal, TypeAlias

from sluiceway.escape import escape
from sluiceway.receivers.security_log.ocsf import Event
from sluiceway.stanza import Entry
from sluiceway.stanza.encoding import attributes, content, resource_logs, sized

__all__ = ["OnUnmapped", "Raw", "Records"]

OnUnmapped: TypeAlias = Literal["keep", "drop", "tag"]
Raw: TypeAlias = Literal["keep", "hash", "drop"]

_TIME: Final = Struct("<BQ")
_SCOPE: Final = "sluiceway/security_log"


class Records:
    """Gathers the records of one batch, by resource. `raw` says what is kept of the line itself."""

    def __init__(self, on_unmapped: OnUnmapped, raw: Raw) -> None:
        self._on_unmapped = on_unmapped
        self._raw = raw
        self._by_resource: dict[bytes, list[bytes]] = {}
        self._last: tuple[int, list[bytes]] | None = None

    def add(self, entry: Entry, text: str, event: Event) -> None:
        """Add the record of an event that was found in a line."""
        found = {"user.name": event.user, "source.address": event.source, "process.pid": event.pid}
        named = entry.attributes | {name: value for name, value in found.items() if value}
        kind = event.kind
        body = kind.encoded + content(_variable(event, self._kept(text)))
        self._list(entry.resource).append(
            sized(
                0x12,
                _TIME.pack(0x09, event.time)
                + b"\x10"
                + bytes((kind.severity_number,))
                + sized(0x1A, kind.constant["severity"].encode())
                + sized(0x2A, sized(0x32, body))
                + attributes(0x32, named)
                + _TIME.pack(0x59, entry.observed)
                + sized(0x62, kind.event_name.encode()),
            )
        )

    def add_unmapped(self, entry: Entry, text: str) -> bool:
        """Add a line that no preset knows, as the settings have it; returns whether there is a record."""
        if self._on_unmapped == "drop":
            return False
        named = dict(entry.attributes)
        if self._on_unmapped == "tag":
            named["security.unmapped"] = True
        body = b"" if self._raw == "drop" else sized(0x0A, self._line(text))
        record = _TIME.pack(0x09, entry.time) if entry.time else b""
        record += sized(0x2A, body) + attributes(0x32, named) + _TIME.pack(0x59, entry.observed)
        self._list(entry.resource).append(sized(0x12, record))
        return True

    def encode(self) -> bytes:
        """The message `LogsData`."""
        return b"".join(resource_logs(resource, _SCOPE, records) for resource, records in self._by_resource.items())

    def _list(self, resource: Mapping[str, Any]) -> list[bytes]:
        if self._last is not None and self._last[0] == id(resource):
            return self._last[1]
        key = attributes(0x0A, resource)
        records = self._by_resource.setdefault(key, [])
        self._last = (id(resource), records)
        return records

    def _kept(self, text: str) -> dict[str, Any]:
        if self._raw == "keep":
            return {"raw_data": escape(text) if not text.isprintable() else text}
        if self._raw == "hash":
            fingerprint = {"algorithm": "SHA-256", "algorithm_id": 3, "value": _digest(text)}
            return {"raw_data_hash": fingerprint, "raw_data_size": len(text.encode(errors="replace"))}
        return {}

    def _line(self, text: str) -> bytes:
        shown = f"sha256:{_digest(text)}" if self._raw == "hash" else escape(text)
        return shown.encode(errors="replace")


def _variable(event: Event, kept: dict[str, Any]) -> dict[str, Any]:
    fields = event.fields
    fields["time"] = event.time // 1_000_000
    if event.unmapped:
        fields["unmapped"] = event.unmapped
    if event.count > 1:
        fields["count"] = event.count
    return fields | kept if kept else fields


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
