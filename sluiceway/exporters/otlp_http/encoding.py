"""From a batch to the body of a request: as it is, or as JSON, and compressed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from sluiceway.config.compression import Compressor
from sluiceway.otlp import Batch

__all__ = ["encoder"]

INLINE: Final = 256 * 1024
"""Bytes: larger batches are encoded in a thread, so that the event loop stays free."""


def encoder(encoding: Literal["proto", "json"], compress: Compressor | None) -> Callable[[Batch], Awaitable[bytes]]:
    """The function that makes the body of a batch; without JSON and compression that is its payload, not a copy."""
    encode = _json if encoding == "json" else _as_it_is
    if encoding == "proto" and compress is None:
        return _untouched

    def content(batch: Batch) -> bytes:
        written = encode(batch)
        return written if compress is None else compress(written)

    async def content_off_loop(batch: Batch) -> bytes:
        return content(batch) if len(batch.payload) <= INLINE else await asyncio.to_thread(content, batch)

    return content_off_loop


async def _untouched(batch: Batch) -> bytes:
    return batch.payload


def _as_it_is(batch: Batch) -> bytes:
    return batch.payload


def _json(batch: Batch) -> bytes:
    from sluiceway.otlp.json import encode

    return encode(batch.signal, batch.payload)
