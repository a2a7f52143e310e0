"""One HTTP/2 connection of a gRPC client: requests of one message each, many at a time.

h2 knows the protocol. Here are the socket, what becomes of each request, and who waits for what: for a place among the
requests that the server takes at a time, for its flow control windows, for a socket that is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, H2Connection, H2ConnectionStateMachine
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error, NoAvailableStreamIDError
from h2.settings import SettingCodes, Settings

__all__ = ["Connection", "Keepalive", "RequestError", "Response"]

RawHeaders = Sequence[tuple[bytes, bytes]]

_LARGEST_HEADERS: Final = 16 * 1024
_PING: Final = b"silence?"
_CLOSING: Final = 1.0
"""Seconds that a closed connection has to send what it still holds."""
_AT_ONCE: Final = 512 * 1024
"""Bytes of a request that are written before it is seen whether the socket has room for more."""


class RequestError(Exception):
    """A request without a response."""

    def __init__(self, reason: str, code: ErrorCodes | int | None = None, *, is_unseen: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        """Why the server reset the request; None when the connection is gone."""
        self.is_unseen = is_unseen
        """Whether the server certainly has not looked at it, so that it may be sent again."""


class TooLargeResponseError(Exception):
    """A response whose body is longer than allowed."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Seconds of silence before a ping, and those its answer may take; and whether to ping without requests."""

    time: float
    timeout: float
    when_idle: bool

    def slower(self) -> Keepalive:
        """The same with half as many pings."""
        return replace(self, time=2 * self.time)


class Response:
    """What a server answers to one request; complete once `ended` is done, unless `error` says otherwise."""

    __slots__ = ("body", "ended", "error", "headers", "id", "is_sent", "trailers")

    def __init__(self, stream: int, ended: asyncio.Future[None]) -> None:
        self.id = stream
        self.ended = ended
        self.is_sent = False
        self.headers: RawHeaders = ()
        self.trailers: RawHeaders | None = None
        """The headers behind the body; None where `headers` are all there is."""
        self.body = bytearray()
        self.error: RequestError | TooLargeResponseError | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of it has come."""
        return self.ended.done() and not self.ended.cancelled() and self.error is None

    def end(self, error: RequestError | TooLargeResponseError | None = None) -> None:
        """Tell who waits that nothing more comes; the first word counts."""
        if not self.ended.done():
            self.error = error
            self.ended.set_result(None)


class _States(H2ConnectionStateMachine):
    """A server that says GOAWAY still answers what it has taken (RFC 9113 §6.8); h2 would refuse its answers."""

    def process_input(self, input_: ConnectionInputs) -> list[Event]:
        return [] if input_ is ConnectionInputs.RECV_GOAWAY else super().process_input(input_)


class _Protocol(H2Connection):
    def __init__(self) -> None:
        super().__init__(H2Configuration(client_side=True, header_encoding=None))
        self.state_machine = _States()
        chosen = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: _LARGEST_HEADERS}
        self.local_settings = Settings(client=True, initial_values=chosen)

    def clear_outbound_data_buffer(self) -> None:
        """Keep what is to be sent: called at GOAWAY, where the requests that were taken go on."""


class Connection(asyncio.Protocol):
    """A connection that asyncio makes with this as its protocol. `on_end` is called once it takes no more requests."""

    def __init__(
        self, largest: int, buffer: int, keepalive: Keepalive | None, on_end: Callable[[Connection], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready = self._loop.create_future()
        """Done when the server has sent its settings or `problem` says why it never will."""
        self.closed = self._loop.create_future()
        self.problem = ""
        """Why no more requests are taken; empty while they are."""
        self.is_scolded = False
        """Whether the server found our pings too many."""
        self._largest = largest
        self._buffer = buffer
        self._keepalive = keepalive
        self._on_end = on_end
        self._h2 = _Protocol()
        self._streams: dict[int, Response] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._is_writable = True
        self._heard = 0.0
        self._is_pinged = False
        self._timer: asyncio.TimerHandle | None = None
        self._abortion: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    async def request(self, headers: RawHeaders, body: bytes) -> Response:
        """Send one request and return its whole response; raise `RequestError` or `TooLargeResponseError`.

        Waits while the server takes no more requests at a time. A request that is cancelled is reset at the server.
        """
        while not self.problem and len(self._streams) >= self._h2.remote_settings.max_concurrent_streams:
            await self._change()
        response = self._open(headers)
        try:
            await self._send(response, body)
            await response.ended
        finally:
            self._forget(response)
        if response.error is not None:
            raise response.error
        return response

    def retire(self, problem: str) -> None:
        """Take no more requests, and close once those under way have ended."""
        if not self.problem:
            self.problem = problem
            self._on_end(self)
            self._wake()
        if not self._streams:
            self._hang_up()

    async def close(self) -> None:
        """End every request and the connection."""
        self._fail("the channel was closed", ErrorCodes.CANCEL)
        await asyncio.wait([self.closed], timeout=_CLOSING)
        self.abort()

    def abort(self) -> None:
        """End the connection without a word."""
        self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(self._buffer or None)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._fail("the server does not offer HTTP/2 (ALPN)")
            return
        self._h2.initiate_connection()
        self._flush()
        self._heard = self._loop.time()
        self._ping_after_silence()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._is_pinged:  # whatever comes is an answer
            self._is_pinged = False
            self._ping_after_silence()
        if data.startswith(b"HTTP/1") and not self.ready.done():  # h2 would take it for the head of a long frame
            self._fail("the server speaks HTTP/1, not gRPC")
            return
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except H2Error as error:
            self._fail(f"the server broke HTTP/2: {error}")
        self._flush()
        self._wake()

    def pause_writing(self) -> None:
        self._is_writable = False

    def resume_writing(self) -> None:
        self._is_writable = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc}" if exc else "the server closed the connection")
        for timer in (self._timer, self._abortion):
            if timer is not None:
                timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    # What the server says.

    def _take(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self._become_ready()
        elif isinstance(event, ConnectionTerminated):
            self._go_away(event)
        elif isinstance(event, ResponseReceived | TrailersReceived | DataReceived | StreamEnded | StreamReset):
            response = self._streams.get(event.stream_id)
            if response is not None:
                self._continue(response, event)
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def _continue(
        self,
        response: Response,
        event: ResponseReceived | TrailersReceived | DataReceived | StreamEnded | StreamReset,
    ) -> None:
        match event:
            case ResponseReceived():
                response.headers = event.headers
            case TrailersReceived():
                response.trailers = event.headers
            case DataReceived():
                response.body += event.data
                if len(response.body) > self._largest:
                    response.end(TooLargeResponseError())
            case StreamEnded():
                response.end()
            case StreamReset():
                code = event.error_code
                response.end(
                    RequestError(
                        f"the server reset the request: {_name(code)}",
                        code,
                        is_unseen=code == ErrorCodes.REFUSED_STREAM,
                    )
                )

    def _go_away(self, event: ConnectionTerminated) -> None:
        reason = f"the server is going away: {_name(event.error_code)}"
        self.is_scolded = event.additional_data == b"too_many_pings"
        for response in list(self._streams.values()):
            if response.id > (event.last_stream_id or 0):
                response.end(RequestError(reason, is_unseen=True))
        self.retire(reason)

    def _become_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    # Requests.

    def _open(self, headers: RawHeaders) -> Response:
        if self.problem:
            raise RequestError(self.problem, is_unseen=True)
        try:
            stream = self._h2.get_next_available_stream_id()
        except NoAvailableStreamIDError as error:
            self.retire("every request number was used")
            raise RequestError(self.problem, is_unseen=True) from error
        try:
            self._h2.send_headers(stream, headers)
        except H2Error as error:  # what the server knows of our headers is not what h2 has noted
            self.retire("headers could not be sent")
            raise RequestError("the headers cannot be sent", ErrorCodes.INTERNAL_ERROR) from error
        response = self._streams[stream] = Response(stream, self._loop.create_future())
        return response

    async def _send(self, response: Response, body: bytes) -> None:
        rest = memoryview(body)
        while True:
            window = min(self._h2.local_flow_control_window(response.id), self._buffer or _AT_ONCE)
            room = min(window, len(rest)) if self._is_writable else 0
            is_stuck = room <= 0
            while room > 0:
                piece = rest[: min(room, self._h2.max_outbound_frame_size)]
                rest = rest[len(piece) :]
                room -= len(piece)
                self._h2.send_data(response.id, piece, end_stream=not rest)
            self._flush()
            if not rest:
                response.is_sent = True
                return
            if is_stuck:
                await self._change()
            if response.ended.done():  # an answer before the end of the request, which is of no use any more
                return

    def _forget(self, response: Response) -> None:
        """Give its place to another request; what is not over at the server is ended there."""
        del self._streams[response.id]
        if not (response.is_sent and response.is_whole) and not self.closed.done():
            with suppress(H2Error):  # the server has reset it, or the connection is gone
                self._h2.reset_stream(response.id, ErrorCodes.CANCEL)
            self._flush()
        self._wake()
        if self.problem and not self._streams:
            self._hang_up()

    async def _change(self) -> None:
        """Wait until a request has ended, a window has grown or the socket has room."""
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    # The connection.

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _fail(self, reason: str, code: ErrorCodes | None = None) -> None:
        for response in list(self._streams.values()):
            response.end(RequestError(reason, code))
        if not self.problem:
            self.problem = reason
            self._on_end(self)
        self._become_ready()
        self._wake()
        self._hang_up()

    def _hang_up(self) -> None:
        if not self._transport.is_closing():
            self._h2.close_connection()
            self._flush()
            self._transport.close()
            self._abortion = self._loop.call_later(_CLOSING, self._transport.abort)

    def _ping_after_silence(self) -> None:
        if self._keepalive is not None:
            self._set_timer(self._heard + self._keepalive.time, partial(self._look, self._keepalive))

    def _look(self, keepalive: Keepalive) -> None:
        now = self._loop.time()
        if now < self._heard + keepalive.time:
            self._ping_after_silence()
        elif self._streams or keepalive.when_idle:
            self._is_pinged = True
            self._h2.ping(_PING)
            self._flush()
            self._set_timer(now + keepalive.timeout, self._give_up)
        else:
            self._set_timer(now + keepalive.time, partial(self._look, keepalive))

    def _give_up(self) -> None:
        self._fail("no answer to a keepalive ping")
        self.abort()

    def _set_timer(self, when: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, call)


def _name(code: ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else str(code)
