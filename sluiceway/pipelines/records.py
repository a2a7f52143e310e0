"""Requests as they are kept on disk, and as they come back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.request import Request
from sluiceway.segments import Record

__all__ = ["named", "record_of", "request_of"]

_PROOF: Final = re.compile("token|key|secret|auth|cookie|password|credential|signature", re.IGNORECASE)
"""What is in the names of headers that may prove who somebody is: they are not written down."""


def record_of(request: Request, time_ns: int, **notes: Any) -> Record:
    """A request as it is kept: with the sender's headers, but for those that may prove who it is."""
    batch, origin = request.batch, request.batch.origin
    headers = {key: value for key, value in origin.headers.items() if not _PROOF.search(key)}
    known: dict[str, Any] = {
        "peer": origin.peer, "transport": origin.transport, "subject": origin.subject,
        "auth": origin.auth, "headers": headers, **notes,
    }  # fmt: skip
    shares = tuple((account.pipeline, items) for account, items in request.shares)
    told = {name: _plain(value) for name, value in known.items() if value}
    return Record(batch.payload, batch.items, shares, max(time_ns, 0) // 1_000_000_000, told)


def request_of(record: Record, signal: Signal, account: Callable[[str], Account], now: float, time_ns: int) -> Request:
    """The request that was kept, as if it had arrived when it did, seen from a moment on both clocks."""
    notes: Mapping[str, Any] = record.notes
    origin = Origin(
        received=now - max(0.0, time_ns / 1e9 - record.seconds),
        peer=notes.get("peer", ""),
        transport=notes.get("transport", ""),
        subject=notes.get("subject"),
        auth=notes.get("auth", {}),
        headers={key: tuple(values) for key, values in notes.get("headers", {}).items()},
    )
    shares = tuple((account(pipeline), items) for pipeline, items in record.shares)
    return Request(Batch(signal, record.payload, record.items, origin), shares)


def named(batch: Batch, name: bytes) -> Batch:
    """The batch with the name of its record, by which an exporter may know it again."""
    return replace(batch, origin=replace(batch.origin, names=((name, batch.items),)))


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: half a surrogate pair becomes a question mark."""
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode()
        case Mapping():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case Sequence():
            return [_plain(item) for item in value]
        case _:
            return value
