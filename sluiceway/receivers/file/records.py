"""From the bytes of a record to a batch: which signal, which format, compressed or not."""

from __future__ import annotations

import json
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
        is_json = self._format == "json" or (self._format == "auto" and record.lstrip()[:1] == b"{")
        signal = _signal(record) if is_json else next(iter(self._signals))
        if signal is None:
            return None
        if signal not in self._signals:
            raise OtherSignalError
        payload = decode(signal, record) if is_json else record
        batch = accept(signal, payload, Origin(self._now(), transport="file"))
        return batch if batch.items else None


def _signal(record: bytes) -> Signal | None:
    """The signal of an OTLP/JSON object, None for an empty one."""
    found = _FIRST_KEY.match(record)
    if found is not None:
        return _KEYS[found[1]]
    if _NOTHING.fullmatch(record):
        return None
    try:
        keys = json.loads(record)
    except (ValueError, RecursionError) as error:
        raise DecodeError("it is no JSON") from error
    for key, signal in _KEYS.items():
        if isinstance(keys, dict) and key.decode() in keys:
            return signal
    raise DecodeError("it has none of resourceSpans, resourceMetrics and resourceLogs")
