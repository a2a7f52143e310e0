"""The body of an HTTP/1.1 request that comes in chunks (RFC 9112 §7.1), read strictly and within bounds."""

from __future__ import annotations

import re
from typing import Final

from sluiceway.receivers.otlp.head import BadRequest

__all__ = ["ChunkedBody"]

_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,15})(?:[ \t]*;[^\r\n\0]*)?")
_LONGEST_LINE: Final = 4096
_LONGEST_TRAILER: Final = 8192
_FREE_CHUNKS: Final = 1024
_MEAN_CHUNK: Final = 64
"""Bytes that chunks must have on average, after the first thousand: each costs work, whatever its size."""


class ChunkedBody:
    """Collects chunks into `data`. Raises `BadRequest` with 413 beyond `limit`, with 400 for anything malformed."""

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self.done = False
        self._limit = limit
        self._left = 0
        self._expects = self._size_line
        self._chunks = 0
        self._trailer = 0

    def feed(self, buffer: bytearray, start: int, end: int) -> int:
        """Read what is in `buffer[start:end]`, and return where the part begins that could not be read yet."""
        while not self.done:
            position = self._data(buffer, start, end) if self._left else self._line(buffer, start, end)
            if position == start:
                break
            start = position
        return start

    def _data(self, buffer: bytearray, start: int, end: int) -> int:
        stop = min(end, start + self._left)
        with memoryview(buffer) as view:
            self.data += view[start:stop]
        self._left -= stop - start
        return stop

    def _line(self, buffer: bytearray, start: int, end: int) -> int:
        stop = buffer.find(b"\r\n", start, min(end, start + _LONGEST_LINE))
        if stop < 0:
            if end - start >= _LONGEST_LINE:
                raise BadRequest
            return start
        line = bytes(buffer[start:stop])
        if b"\n" in line or b"\r" in line:
            raise BadRequest
        self._expects(line)
        return stop + 2

    def _size_line(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        self._chunks += 1
        if match is None or self._chunks > _FREE_CHUNKS + len(self.data) // _MEAN_CHUNK:
            raise BadRequest
        self._left = int(match[1], 16)
        if len(self.data) + self._left > self._limit:
            raise BadRequest(413)
        self._expects = self._end_of_chunk if self._left else self._trailer_line

    def _end_of_chunk(self, line: bytes) -> None:
        if line:
            raise BadRequest
        self._expects = self._size_line

    def _trailer_line(self, line: bytes) -> None:
        self._trailer += len(line) + 2
        if self._trailer > _LONGEST_TRAILER:
            raise BadRequest
        self.done = not line
