"""OTLP over HTTP: which requests are taken, how their bodies are read, and how the answers are worded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from time import perf_counter
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from sluiceway.component import Authenticator, Context
from sluiceway.config.decompression import CODINGS, decompress
from sluiceway.errors import TooLargeError
from sluiceway.otlp import Signal
from sluiceway.otlp.status import Code
from sluiceway.receivers.otlp.answers import Answer
from sluiceway.receivers.otlp.cors import CrossOrigin
from sluiceway.receivers.otlp.head import Head
from sluiceway.receivers.otlp.http1 import Connection, Gone, Timeouts
from sluiceway.receivers.otlp.intake import LARGE, Intake
from sluiceway.receivers.otlp.listener import Listener
from sluiceway.receivers.otlp.response import Response
from sluiceway.telemetry import AttributeValue, Calls

if TYPE_CHECKING:
    from sluiceway.receivers.otlp import OtlpHttp

__all__ = ["HttpReceiver"]

JSON: Final = "application/json"
PROTO: Final = "application/x-protobuf"
_SLOW_JSON: Final = 128 * 1024
_SLOW_COMPRESSED: Final = 128 * 1024
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_NOT_FOUND: Final = Response(404, b"404 page not found\n")
_WRONG_METHOD: Final = Response(
    405, b"405 method not allowed, supported: [POST]", "text/plain", headers=(("Allow", "POST"),)
)
_WRONG_TYPE: Final = Response(
    415, b"415 unsupported media type, supported: [application/json, application/x-protobuf]", "text/plain"
)
_PLAIN_REFUSALS: Final = {
    400: Answer(Code.INVALID_ARGUMENT, "malformed request"),
    408: Answer(Code.DEADLINE_EXCEEDED, "the request did not arrive in time"),
    413: Answer(Code.RESOURCE_EXHAUSTED, "http: request body too large"),
    417: Answer(Code.INVALID_ARGUMENT, "unknown expectation"),
    431: Answer(Code.INVALID_ARGUMENT, "the request's header is too large"),
    503: Answer(Code.UNAVAILABLE, "the data cannot be taken now, send it again later", 1.0),
    505: Answer(Code.INVALID_ARGUMENT, "HTTP/1.1 is spoken here"),
}


class HttpReceiver:
    """The HTTP half of the receiver: a `Service` for connections, and the listener that they come by."""

    def __init__(
        self,
        settings: OtlpHttp,
        intake: Intake,
        authenticator: Authenticator | None,
        max_connections: int,
        context: Context,
    ) -> None:
        self.clock = context.clock
        self.room = intake.room
        self.timeouts = Timeouts(
            head=settings.read_header_timeout or 10.0,
            request=settings.read_timeout or None,
            write=settings.write_timeout or 30.0,
            idle=settings.idle_timeout or 300.0,
        )
        self.max_body = settings.max_body_size
        self.keep_alive = settings.keep_alives_enabled
        self.held = authenticator is not None
        self.stopping = False
        self.listener = Listener(settings, max_connections, context)
        self.joined, self.left = self.listener.joined, self.listener.left
        self._settings = settings
        self._intake = intake
        self._authenticator = authenticator
        self._routes = {path: signal for signal, path in settings.paths().items() if signal in context.signals}
        self._codings = frozenset(settings.compression_algorithms)
        self._cors = CrossOrigin(settings.cors) if settings.cors and settings.cors.allowed_origins else None
        self._fixed_headers = "".join(
            f"{name}: {value.reveal()}\r\n" for name, value in settings.response_headers.items()
        )
        self._dated = (0, "")
        self._tracing = context.telemetry.tracing
        self._calls: Calls | None = None
        if context.telemetry.detailed:
            name, text = "http.server.request.duration", "Duration of HTTP server requests."
            scheme = "https" if settings.tls is not None else "http"
            self._calls = Calls(context.telemetry, name, text, **{"url.scheme": scheme})

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Listen; raise `ConfigError` when that is not possible."""
        await self.listener.start(self, tasks)

    async def stop(self) -> None:
        """Answer what is being served, refuse what is half sent, and close."""
        self.stopping = True
        await self.listener.stop()

    def answered(self, head: Head | None, response: Response, began: float) -> None:
        """Tell how long a request took, at level `detailed`."""
        if self._calls is None:
            return
        seconds = perf_counter() - began if head is not None else 0.0
        method = head.method if head is not None and head.method in _METHODS else "_OTHER"
        attributes: dict[str, AttributeValue] = {
            "http.request.method": method,
            "http.response.status_code": response.status,
        }
        if head is not None and head.path in self._routes:
            attributes["http.route"] = head.path
        self._calls.record(seconds, **attributes)

    def common_headers(self) -> str:
        """Give the header lines that every response carries: those of the settings, and the date."""
        second = self.clock.time_ns() // 1_000_000_000
        if self._dated[0] != second:
            self._dated = second, f"Date: {formatdate(second, usegmt=True)}\r\n{self._fixed_headers}"
        return self._dated[1]

    def check(self, head: Head) -> Response | None:
        """Refuse by the head alone, in the Collector's order: path, method, content type, encoding, size."""
        if self._cors and (answer := self._cors.preflight(head)):
            return answer
        refusal = self._check(head)
        return self._with_cors(refusal, head) if refusal else None

    def refuse(self, status: int, head: Head | None) -> Response:
        """Word a refusal of HTTP as a `Status`."""
        return self._with_cors(_refusal(_PLAIN_REFUSALS[status], _encoding(head), status), head)

    async def serve(self, head: Head, connection: Connection) -> Response:
        """Answer one request: prove the sender, read the body, hand it on."""
        try:
            response = await self._serve(head, connection)
        except Gone:
            raise
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - every error gets an answer, and a bug is logged there
            response = _refusal(self._intake.answer(error), _encoding(head))
        return self._with_cors(response, head)

    def _check(self, head: Head) -> Response | None:
        if head.path not in self._routes:
            return _NOT_FOUND
        if head.method != "POST":
            return _WRONG_METHOD
        if _encoding(head) is None:
            return _WRONG_TYPE
        coding = _coding(head)
        if coding not in self._codings or (coding and coding not in CODINGS):
            shown = "".join(c for c in head.value(b"content-encoding")[:50] if c.isprintable())
            return _refusal(Answer(Code.INVALID_ARGUMENT, f"unsupported Content-Encoding: {shown}"), _encoding(head))
        if head.length > self.max_body:
            return self.refuse(413, head)
        return None

    async def _serve(self, head: Head, connection: Connection) -> Response:
        identity = None
        if self._authenticator is not None:
            if self._cors and (answer := self._cors.preflight(head)):
                return answer
            identity = await self._authenticator.authenticate(self._shown(head))
            if refusal := self._check(head):
                return refusal
        headers = head.headers() if self._settings.include_metadata else {}
        causes = self._tracing.arriving(_values(head)) if self._tracing else ()
        origin = self._intake.origin(connection.peer, identity, headers, causes)
        signal, encoding = self._routes[head.path], _encoding(head)
        raw = await self._plain(_coding(head), await connection.body())
        if encoding == JSON:
            await self._intake.take(signal, await _from_json(signal, raw), origin)
            return Response(200, b"{}", JSON)
        await self._intake.take(signal, raw, origin)
        return Response(200, b"", PROTO)

    async def _plain(self, coding: str, body: bytes) -> bytes:
        if not coding:
            return body
        if len(body) < _SLOW_COMPRESSED:
            try:
                return decompress(coding, body, min(LARGE, self.max_body))
            except TooLargeError:
                if self.max_body <= LARGE:
                    raise
        return await asyncio.to_thread(decompress, coding, body, self.max_body)

    def _shown(self, head: Head) -> dict[str, tuple[str, ...]]:
        headers = dict(head.headers())
        names = self._settings.auth.request_params if self._settings.auth else ()
        if names:
            query = parse_qs(head.query, max_num_fields=100) if head.query.count("&") < 100 else {}
            headers |= {name.lower(): tuple(query[name]) for name in names if name in query}
        return headers

    def _with_cors(self, response: Response, head: Head | None) -> Response:
        if self._cors is None or head is None:
            return response
        headers = (*response.headers, *self._cors.headers(head))
        return Response(response.status, response.body, response.content_type, headers)


def _values(head: Head) -> Callable[[str], str]:
    return lambda name: head.value(name.encode())


def _encoding(head: Head | None) -> str | None:
    kind = head.value(b"content-type").partition(";")[0].strip().lower() if head else ""
    return kind if kind in (PROTO, JSON) else None


def _coding(head: Head) -> str:
    coding = head.value(b"content-encoding").strip().lower()
    return "" if coding == "identity" else coding


async def _from_json(signal: Signal, text: bytes) -> bytes:
    from sluiceway.otlp import json

    if len(text) < _SLOW_JSON:
        return bytes(json.decode(signal, text))
    return await asyncio.to_thread(json.decode, signal, text)


def _refusal(answer: Answer, encoding: str | None, status: int = 0) -> Response:
    after = answer.retry_after
    headers = () if after is None else (("Retry-After", str(after)),)
    kind, body = (JSON, answer.json()) if encoding == JSON else (PROTO, answer.proto())
    return Response(status or answer.http_status, body, kind, headers)
