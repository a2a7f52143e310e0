"""From a batch to the bytes of a message as they stand in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sluiceway.config.compression import compressor
from sluiceway.exporters.file.settings import FileConfig
from sluiceway.otlp import Batch

__all__ = ["Message", "message_maker"]


class Message(NamedTuple):
    """The parts that are written one after the other."""

    before: bytes
    after: bytes

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return len(self.before) + len(self.after)


def message_maker(config: FileConfig) -> Callable[[Batch], Message]:
    """The function that makes the message of a batch: a line, or a length and that many bytes."""
    compress = compressor("zstd", config.compression_params.level) if config.is_compressed else None
    encode = _json if config.format == "json" else _as_it_is

    def line(batch: Batch) -> Message:
        return Message(encode(batch), b"\n")

    def sized(batch: Batch) -> Message:
        written = encode(batch)
        if compress is not None:
            written = compress(written)
        return Message(len(written).to_bytes(4, "big"), written)

    return line if config.has_lines else sized


def _as_it_is(batch: Batch) -> bytes:
    return batch.payload


def _json(batch: Batch) -> bytes:
    from sluiceway.otlp.json import encode

    return encode(batch.signal, batch.payload)
