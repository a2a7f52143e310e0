"""From the bytes of a record to a batch: which signal, which format, compressed or not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sluiceway.config.decompression import decompress
from sluiceway.errors import DecodeError
from sluiceway.otlp import Batch, Origin, Signal, accept
from sluiceway.otlp.json import decode

__all__ = ["ZSTD", "Decoder", "OtherSignalError"]

ZSTD: Final = b"\x28\xb5\x2f\xfd"
"""How a zstd frame begins."""
_KEYS: Final = {
    b"resourceSpans": Signal.TRACES,
    b"resourceMetrics": Signal.METRICS,
    b"resourceLogs": Signal.LOGS,
}
_FIRST_KEY: Final = re.compile(rb'\s*\{\s*"(resource(?:Spans|Metrics|Logs))"\s*:')
_NOTHING: Final = re.compile(rb"\s*\{\s*\}\s*")


class OtherSignalError(Exception):
    """The record is of a signal that no pipeline takes from here."""


class Decoder:
    """Makes batches of records. `signals` are those that pipelines take; without JSON it is one."""

    def __init__(
        self, signals: frozenset[Signal], now: Callable[[], float], *, format: str, compression: str, limit: int
    ) -> None:
        self._signals = signals
        self._now = now
        self._format = format
        self._compression = compression
        self._limit = limit

    def decode(self, record: bytes) -> Batch | None:
        """The batch of a record, None for one without items.

        Raises `SenderError` for a record that is damaged, and `OtherSignalError`.
        """
        if self._compression == "zstd" or (self._compression == "auto" and record.startswith(ZSTD)):
            record = decompress("zstd", record, self._limit)
        if not record:
            return None
        if self._format == "json" or (self._format == "auto" and record.lstrip()[:1] == b"{"):
            signal, record = self._decode_json(record)
        else:
            signal = next(iter(self._signals))
        batch = accept(signal, record, Origin(self._now(), transport="file"))
        return batch if batch.items else None

    def _decode_json(self, record: bytes) -> tuple[Signal, bytes]:
        """The signal of OTLP/JSON and its OTLP bytes, which are none for an empty object."""
        if found := _FIRST_KEY.match(record):
            signal = _KEYS[found[1]]
            if signal not in self._signals:
                raise OtherSignalError
            return signal, decode(signal, record)
        for signal in Signal:
            if payload := decode(signal, record):
                if signal not in self._signals:
                    raise OtherSignalError
                return signal, payload
        if _NOTHING.fullmatch(record):
            return next(iter(self._signals)), b""
        raise DecodeError("it has none of resourceSpans, resourceMetrics and resourceLogs, or nothing in them")
