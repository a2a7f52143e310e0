"""One request and its answer over a connection of their own, in HTTP/1.1. Answers are a stranger's: all is bounded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sluiceway.receivers.http_check.connection import Connection, Steps
from sluiceway.receivers.http_check.failures import CheckError

if TYPE_CHECKING:
    import httptools

__all__ = ["Answer", "exchange"]

LARGEST_HEAD: Final = 64 * 1024
_PIECE: Final = 64 * 1024


@dataclass
class Answer:
    """What a server answered. Header names are in lower case; of several with one name the last counts."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    size: int = 0
    """Bytes of the body, also when it was not kept."""

    @property
    def media_type(self) -> str:
        """What the body is said to be, in lower case and without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


async def exchange(
    connection: Connection, request: bytes, steps: Steps, *, bodiless: bool, keep: bool, largest: int
) -> Answer:
    """Send a request and read the answer; raise `OSError` or `CheckError`.

    `bodiless` is an answer to HEAD, `keep` whether the body is wanted, and `largest` its limit in bytes.
    """
    with steps.timed("request"):
        piece = await _send(connection, request)
    if not piece:
        with steps.timed("first byte"):
            piece = await connection.reader.read(_PIECE)
    reading = _Reading(bodiless=bodiless, keep=keep, largest=largest)
    with steps.timed("response"):
        while not reading.take(piece):
            piece = await connection.reader.read(_PIECE)
    return reading.answer


async def _send(connection: Connection, request: bytes) -> bytes:
    """Send a request. A server may refuse it before it has read all of it: then this is the beginning of its answer."""
    reader, writer = connection
    writer.write(request)
    if not writer.transport.get_write_buffer_size():
        return b""
    try:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(reader.read(_PIECE))
            writing = tasks.create_task(writer.drain())
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            (writing if reading.done() else reading).cancel()
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return b"" if reading.cancelled() else reading.result()


class _Reading:
    """Reads an answer piece by piece, as llhttp tells of it."""

    def __init__(self, *, bodiless: bool, keep: bool, largest: int) -> None:
        self.answer = Answer()
        self._bodiless = bodiless
        self._keep = keep
        self._largest = largest
        self._head = 0
        self._headed = False
        self._whole = False
        self._parser = self._open()

    def _open(self) -> httptools.HttpResponseParser:
        import httptools

        return httptools.HttpResponseParser(self)

    def take(self, piece: bytes) -> bool:
        """Take what came, nothing for the end of the connection; whether the answer is whole."""
        from httptools import HttpParserError, HttpParserUpgrade

        if not piece:
            return self._end()
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            return True
        except HttpParserError:
            if not self._whole:
                raise CheckError("the answer is no HTTP/1.1") from None
        if self.answer.size > self._largest:
            raise CheckError("the body is larger than max_response_size")
        if not self._headed:
            self._head += len(piece)
            if self._head > LARGEST_HEAD:
                raise CheckError("the head of the answer is too large")
        return self._whole or (self._headed and self._bodiless)

    def _end(self) -> bool:
        """The connection has ended, which is the end of a body without a length too (RFC 9112 6.3)."""
        headers = self.answer.headers
        if not self._headed or "content-length" in headers or "chunked" in headers.get("transfer-encoding", ""):
            raise CheckError("the connection was closed before the end of the answer")
        return True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._whole:
            self.answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._whole:
            return  # bytes behind the answer are none of it
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            self.answer.status = status
            self._headed = True
        else:
            self.answer.headers.clear()  # an interim answer; the real one follows

    def on_body(self, piece: bytes) -> None:
        if self._whole:
            return
        self.answer.size += len(piece)
        if self._keep and self.answer.size <= self._largest:
            self.answer.body += piece

    def on_message_complete(self) -> None:
        self._whole = self._whole or self._headed
