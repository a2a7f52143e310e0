"""The receiver for tests, and the files that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sluiceway.component import Consumer, Context, Kind
from sluiceway.config.compression import compressor
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.json import encode
from sluiceway.receivers.file import COMPONENT, FileReceiver
from sluiceway.testing import settings

__all__ = ["line", "receiver", "sized"]


def receiver(keys: str, sink: Consumer, *signals: Signal, **context: Any) -> FileReceiver:
    """A receiver in front of a sink, of traces unless told otherwise."""
    config = settings(COMPONENT, f"receivers: {{file: {{{keys}}}}}")
    return FileReceiver(config, Context("file", Kind.RECEIVER, frozenset(signals or {Signal.TRACES}), **context), sink)


def line(batch: Batch) -> bytes:
    """A batch as a line."""
    return encode(batch.signal, batch.payload) + b"\n"


def sized(*payloads: bytes, zstd: bool = False) -> bytes:
    """Messages with their lengths in front."""
    compress = compressor("zstd") if zstd else None
    bodies = [compress(payload) if compress else payload for payload in payloads]
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


def payloads(batches: list[Batch]) -> list[bytes]:
    """The bytes of batches."""
    return [batch.payload for batch in batches]


def write(path: Path, *parts: bytes) -> None:
    """Append to a file."""
    with path.open("ab") as file:
        file.writelines(parts)
