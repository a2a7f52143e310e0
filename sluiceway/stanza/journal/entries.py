"""From a line of `journalctl --output=json` to an entry."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from sluiceway.stanza import Entry

__all__ = ["Read", "read"]


class Read(NamedTuple):
    """An entry of the journal, and the cursor that stands on it."""

    entry: Entry
    cursor: str


def read(line: bytes, observed: int, *, convert_message_bytes: bool = False) -> Read:
    """Read a line: the body is the map of all fields, the time is the journal's own. Raises `ValueError`.

    A field that is no text comes as the list of its bytes, and with `convert_message_bytes` the message as a text; one
    that stands in the entry several times is a list of these.
    """
    fields: Any = orjson.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("an entry of the journal is no map")  # noqa: TRY004 - one error for all that is wrong
    time, cursor = fields.pop("__REALTIME_TIMESTAMP", None), fields.get("__CURSOR")
    if not isinstance(time, str) or not isinstance(cursor, str):
        raise ValueError("an entry of the journal has no __REALTIME_TIMESTAMP or no __CURSOR")  # noqa: TRY004
    message = fields.get("MESSAGE")
    if convert_message_bytes and isinstance(message, list) and all(type(b) is int and 0 <= b < 256 for b in message):
        fields["MESSAGE"] = bytes(message).decode(errors="replace")
    entry = Entry(fields, observed, {}, {})
    entry.time = int(time) * 1000
    return Read(entry, cursor)
