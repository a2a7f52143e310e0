"""One HTTP/1.1 connection of a server: requests in, responses out, in order, with a bound on everything.

Bodies of a stated length are received straight into one buffer that the connection keeps: no joins, one copy. The
buffer grows with what has come, never with what was announced. Requests are served one at a time; what a client
pipelines waits in the buffer, and when that is full, in the client, and refused ones take turns with those of other
connections. Deadlines are looked at by `check`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from time import perf_counter
from typing import Final, Protocol, cast

from sluiceway.caller import CALLER, Caller
from sluiceway.component import Clock
from sluiceway.receivers.otlp.buffer import BASE, ReceiveBuffer
from sluiceway.receivers.otlp.chunks import ChunkedBody
from sluiceway.receivers.otlp.head import BadRequest, Head, parse_head
from sluiceway.receivers.otlp.intake import Room
from sluiceway.receivers.otlp.response import Response, render

__all__ = ["Connection", "Gone", "Service", "Timeouts"]

LONGEST_HEAD: Final = 16 * 1024
_LINGER: Final = 2.0
_BODY_GRACE: Final = 20.0
_BODY_RATE: Final = 4096
_SHRINK_AFTER: Final = 5.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A `request` of None has 20 s, and one more for each 4 KiB that have come."""

    head: float = 10.0
    request: float | None = None
    write: float = 30.0
    idle: float = 300.0


class Gone(Exception):  # noqa: N818 - not an error of ours
    """The client went away, or was refused, before its body was whole."""


class Service(Protocol):
    """What answers the requests of many connections."""

    clock: Clock
    room: Room
    timeouts: Timeouts
    max_body: int
    keep_alive: bool
    held: bool
    """Whether a request is served from its head on, before its body is read."""
    stopping: bool

    def answered(self, head: Head | None, response: Response, began: float) -> None:
        """Learn of an answer to a request that was taken up at `began` (`perf_counter`); its head may be unreadable."""

    def check(self, head: Head) -> Response | None:
        """Refuse a request by its head alone, as when its body is too large; None lets its body come."""

    def refuse(self, status: int, head: Head | None) -> Response:
        """Word a refusal that HTTP itself asks for."""

    async def serve(self, head: Head, connection: Connection) -> Response:
        """Answer a request; its body is `await connection.body()`. Raises nothing but `Gone` and `CancelledError`."""

    def common_headers(self) -> str:
        """Header lines that every response carries."""

    def joined(self, connection: Connection) -> None:
        """Take notice of a new connection."""

    def left(self, connection: Connection) -> None:
        """Take notice that a connection is closed."""


class State(Enum):
    """Where a connection is: what it reads, or that a request is being served (from its head on: HELD)."""

    HEAD = auto()
    HELD = auto()
    BODY = auto()
    BUSY = auto()
    LINGERING = auto()
    CLOSED = auto()


class Connection(asyncio.BufferedProtocol):
    """The protocol object of one connection; `run` serves its requests until it ends."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.state = State.HEAD
        self.peer = ""
        self.host = ""
        self.since = 0.0
        self._began = 0.0
        self.has_served = False
        """Whether a whole request has come by it, which those who only hold connections never send."""
        self._buffer = ReceiveBuffer(service.room)
        self._scanned = 0
        self._head: Head | None = None
        self._chunks: ChunkedBody | None = None
        self._body = b""
        self._caller = Caller()
        self._wake: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._blocked_since = 0.0
        self._paused = self._ended = self._has_turn = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=1, low=0)
        peer = transport.get_extra_info("peername")
        self.host = peer[0] if isinstance(peer, tuple) else ""
        self.peer = f"{self.host}:{peer[1]}" if isinstance(peer, tuple) else ""
        self.since = self.service.clock.now()
        self.service.joined(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """End. What serves a request learns that nobody will hear the answer, and comes to its end by itself."""
        self.state = State.CLOSED
        self._caller.hang_up()
        self._buffer.shrink()
        self.resume_writing()
        self._awaken()
        self.service.left(self)

    def get_buffer(self, _size: int) -> memoryview:
        """Give the loop the free part of the buffer, which is never empty while reading is on."""
        return self._buffer.free()

    def buffer_updated(self, size: int) -> None:
        """Take notice of new bytes."""
        self._buffer.end += size
        if self.state is State.LINGERING:
            self._buffer.clear()
        else:
            self._advance()

    def eof_received(self) -> bool:
        """Keep the connection for an answer that is still to come; but most who say no more listen no more."""
        self._ended = True
        self._caller.hang_up()
        return self.state in (State.BUSY, State.HELD)

    def pause_writing(self) -> None:
        """Note that the client does not read; its deadline starts."""
        self._writable = asyncio.get_running_loop().create_future()
        self._blocked_since = self.service.clock.now()

    def resume_writing(self) -> None:
        """Go on, now that everything is written."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)
        if self.state is State.HEAD:
            self._advance()

    # What the listener calls.

    def check(self, now: float) -> None:
        """End the connection when its client has been too slow."""
        timeouts, age = self.service.timeouts, now - self.since
        if self._writable is not None and now - self._blocked_since > timeouts.write:
            self.abort()
        elif self.state is State.LINGERING:
            if age > _LINGER:
                self.abort()
        elif self.state is State.BODY:
            if age > self._body_time():
                self._refuse(408)
        elif self.state is State.HEAD and self._buffer:
            if age > min(timeouts.head, timeouts.request or timeouts.head):
                self._refuse(408)
        elif self.state is State.HEAD:
            if age > timeouts.idle:
                self._transport.close()
            elif age > _SHRINK_AFTER:
                self._buffer.shrink(BASE)

    @property
    def is_served(self) -> bool:
        """Whether a request is being answered, which a connection that must make way may not lose."""
        return self.state in (State.BUSY, State.HELD)

    def close(self) -> None:
        """Close at once when no request is being served; otherwise the answer will be the last."""
        if self.state is State.BODY or (self.state is State.HEAD and self._buffer):
            self._refuse(503)
        elif self.state is State.HEAD:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    async def run(self) -> None:
        """Serve requests until the connection ends."""
        while self.state is not State.CLOSED:
            if self.state is State.BUSY or self.state is State.HELD:
                await self._serve()
            else:
                await self._sleep()

    async def body(self) -> bytes:
        """Return the whole body of the request that is being served; raise `Gone` when it will never be whole."""
        if self.state is State.HELD:
            self._begin_body()
            self._advance()
        while self.state is State.BODY:
            await self._sleep()
        if self.state is not State.BUSY:
            raise Gone
        return self._body

    async def _serve(self) -> None:
        assert self._head is not None  # noqa: S101 - a request that is served has one
        caller = self._caller = Caller()
        if self._ended:
            caller.hang_up()
        CALLER.set(caller)
        try:
            response = await self.service.serve(self._head, self)
        except Gone:
            return
        finally:
            caller.answered()
        self._body = b""
        self._respond(response)
        if self._writable is not None:
            await self._writable

    # From bytes to requests.

    def _take_turn(self) -> None:
        self._has_turn = False
        self._advance()

    def _advance(self) -> None:
        if self.state is State.CLOSED:
            return
        try:
            while not (self._has_turn or self._writable) and (
                (self.state is State.HEAD and self._read_head()) or (self.state is State.BODY and self._read_body())
            ):
                pass
            self._make_space()
        except BadRequest as error:
            self._refuse(error.status)

    def _read_head(self) -> bool:
        buffer = self._buffer
        if not buffer:
            return False
        if self._scanned == buffer.start:
            self.since = self.service.clock.now()
        stop = buffer.data.find(b"\r\n\r\n", max(buffer.start, self._scanned - 3), buffer.end)
        if (stop if stop >= 0 else buffer.end) - buffer.start > LONGEST_HEAD:
            raise BadRequest(431)
        if stop < 0:
            if buffer.data.find(b"\n\n", buffer.start, buffer.end) >= 0:
                raise BadRequest
            self._scanned = buffer.end
            return False
        self._head = parse_head(buffer.take(stop + 4 - buffer.start))
        self._scanned = buffer.start
        self._take_up(self._head)
        return True

    def _take_up(self, head: Head) -> None:
        self._began = perf_counter()
        if self.service.held:
            self.state = State.HELD
            self._awaken()
        elif (refusal := self.service.check(head)) is not None:
            self._respond(refusal)
        else:
            self._begin_body()

    def _begin_body(self) -> None:
        head = self._expected()
        self.state = State.BODY
        self._chunks = ChunkedBody(self.service.max_body) if head.length < 0 else None
        if head.expects and not self._buffer and head.length:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_body(self) -> bool:
        buffer, length = self._buffer, self._expected().length
        if self._chunks is not None:
            buffer.start = self._chunks.feed(buffer.data, buffer.start, buffer.end)
            buffer.charge(len(self._chunks.data))
            if not self._chunks.done:
                return False
            self._body, self._chunks = bytes(self._chunks.data), None
        elif len(buffer) < length:
            return False
        else:
            self._body = buffer.take(length)
        buffer.shrink()
        self._scanned = buffer.start
        self.state = State.BUSY
        self.has_served = True
        self._awaken()
        return True

    def _make_space(self) -> None:
        buffer = self._buffer
        if buffer.is_full:
            scanned = self._scanned - buffer.start
            if self.state is State.BODY and self._chunks is None:
                buffer.make_space(self._expected().length + LONGEST_HEAD)
            elif buffer.start:
                buffer.make_space()
            self._scanned = max(0, scanned + buffer.start)
        if buffer.is_full and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        elif self._paused and not buffer.is_full:
            self._paused = False
            self._transport.resume_reading()

    def _expected(self) -> Head:
        assert self._head is not None  # noqa: S101 - asked only after a head was read
        return self._head

    def _body_time(self) -> float:
        if self.service.timeouts.request is not None:
            return self.service.timeouts.request
        received = len(self._chunks.data) if self._chunks is not None else len(self._buffer)
        return _BODY_GRACE + received / _BODY_RATE

    # From responses to bytes.

    def _refuse(self, status: int) -> None:
        self._respond(self.service.refuse(status, self._head), last=True)

    def _respond(self, response: Response, *, last: bool = False) -> None:
        if self.state is State.CLOSED:
            return
        head, service = self._head, self.service
        whole = head is not None and head.keep_alive and (self.state is State.BUSY or head.length == 0)
        last = last or not whole or self._ended or service.stopping or not service.keep_alive
        bodiless = head is not None and head.method == "HEAD"
        self._transport.write(render(response, service.common_headers(), last=last, bodiless=bodiless))
        service.answered(head, response, self._began)
        self.since = service.clock.now()
        self._head = None
        if last:
            self._linger()
        else:
            self.state = State.HEAD
            if (self._buffer or self._paused) and not self._has_turn:
                self._has_turn = True  # one request a turn of the loop, or a pipeline would hold up all others
                asyncio.get_running_loop().call_soon(self._take_turn)

    def _linger(self) -> None:
        # Closing while bytes are unread resets the connection, and the client might never see the answer.
        self.state = State.LINGERING
        self._buffer.clear()
        self._buffer.shrink()
        self._awaken()
        if self._ended or not self._transport.can_write_eof():
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # the client has reset the connection, which the loop is about to notice
            self._transport.abort()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    async def _sleep(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    def _awaken(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
