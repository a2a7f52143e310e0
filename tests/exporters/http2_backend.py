"""A gRPC backend made of h2: it takes zstd, which grpcio does not, and can do what no proper server does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import grpc
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    PingReceived,
    RequestReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error
from h2.settings import Settings

from sluiceway.config.compression import zstd_module
from tests.exporters.backends import GrpcBackend

PACK = {"gzip": gzip.compress, "zstd": zstd_module().compress}
UNPACK = {"gzip": gzip.decompress, "zstd": zstd_module().decompress}


@dataclass
class Http2Backend(GrpcBackend):
    """Answers as it is told, through `answering` byte for byte where a test says how."""

    compression = "zstd"

    trusts: str = ""
    alpn: tuple[str, ...] = ("h2",)
    is_silent: bool = False
    settings: dict[int, int] = field(default_factory=dict)
    coding: str = ""
    peer: Callable[[Http2Backend], Peer] | None = None
    answering: Callable[[Peer, int], Any] | None = None
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    acknowledges: bool = True
    pings: int = 0
    on_ping: Callable[[Peer], None] | None = None
    open: list[Peer] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self, pair: tuple[bytes, bytes] | None = None, host: str = "127.0.0.1", path: str = ""):
        """Listen until the block is left."""
        context = None if pair is None else self.context(*pair)
        loop = asyncio.get_running_loop()
        if path:
            server = await loop.create_unix_server(lambda: (self.peer or Peer)(self), path)
        else:
            server = await loop.create_server(lambda: (self.peer or Peer)(self), host, self.port, ssl=context)
            self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for peer in list(self.open):
                await peer.end()

    def context(self, key: bytes, certificate: bytes) -> ssl.SSLContext:
        """What is listened with."""
        from sluiceway.config.tls import TlsServer

        context = TlsServer(key_pem=key.decode(), cert_pem=certificate.decode()).ssl_context()
        context.set_alpn_protocols(list(self.alpn))
        if self.trusts:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.trusts)
        return context


class Peer(asyncio.Protocol):
    """One connection to a backend."""

    def __init__(self, backend: Http2Backend) -> None:
        self.backend = backend
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.local_settings = Settings(client=False, initial_values=backend.settings)
        self.bodies: dict[int, bytearray] = {}
        self.fields: dict[int, dict[str, str]] = {}
        self.tasks: dict[int, asyncio.Task] = {}
        self.lost = asyncio.Event()
        self.unread = b""

    async def end(self) -> None:
        """Hang up."""
        for task in list(self.tasks.values()):
            task.cancel()
        self.transport.abort()
        await self.lost.wait()

    def flush(self) -> None:
        """Send what h2 has written."""
        self.transport.write(self.h2.data_to_send())

    def speak(self) -> None:
        """End the silence."""
        self.backend.is_silent = False
        self.h2.initiate_connection()
        self.data_received(self.unread)

    def connection_made(self, transport):
        self.transport = transport
        self.backend.open.append(self)
        self.backend.connections += 1
        if not self.backend.is_silent:
            self.h2.initiate_connection()
            self.flush()

    def connection_lost(self, exc):
        self.backend.open.remove(self)
        self.lost.set()
        self.backend.left.set()

    def data_received(self, data):
        if self.backend.is_silent:
            self.unread += data
            return
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()

    def take(self, event):
        match event:
            case RequestReceived():
                self.fields[event.stream_id] = dict(event.headers)
                self.bodies[event.stream_id] = bytearray()
                self.backend.most_at_once = max(self.backend.most_at_once, len(self.bodies))
            case DataReceived():
                self.bodies[event.stream_id] += event.data
                if self.backend.acknowledges:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self.start(event.stream_id)
            case StreamReset():
                self.bodies.pop(event.stream_id, None)
                self.backend.cancelled.set()
                if event.stream_id in self.tasks:
                    self.tasks[event.stream_id].cancel()
            case PingReceived():
                self.backend.pings += 1
                if self.backend.on_ping is not None:
                    self.backend.on_ping(self)
            case ConnectionTerminated() | SettingsAcknowledged():
                pass

    def start(self, stream: int) -> None:
        task = self.tasks[stream] = asyncio.get_running_loop().create_task(self.answer(stream))
        task.add_done_callback(lambda _: self.tasks.pop(stream, None))

    async def answer(self, stream: int) -> None:
        backend, fields, body = self.backend, self.fields[stream], self.bodies[stream]
        coding = fields.get("grpc-encoding", "identity")
        assert int.from_bytes(body[1:5], "big") == len(body) - 5
        assert body[0] == (coding != "identity")
        message = UNPACK.get(coding, bytes)(bytes(body[5:]))
        backend.headers.append(fields)
        backend.requests.append((fields[":path"], message, dict(metadata(fields))))
        timeout = fields.get("grpc-timeout")
        backend.deadlines.append(timeout and int(timeout[:-1]) * {"m": 0.001, "S": 1}[timeout[-1]])
        backend.peers.append(str(self.transport.get_extra_info("peername")))
        backend.arrived.set()
        if backend.gate is not None:
            await backend.gate.wait()
        self.bodies.pop(stream, None)
        with contextlib.suppress(H2Error):  # a client that has hung up
            (backend.answering or answer)(self, stream)
            self.flush()


def metadata(fields: dict[str, str]):
    """The headers as grpcio shows them to a handler."""
    for name, value in fields.items():
        yield name, base64.b64decode(value + "==") if name.endswith("-bin") else value


def answer(peer: Peer, stream: int) -> None:
    """As a proper server does."""
    backend = peer.backend
    head = [(":status", "200"), ("content-type", "application/grpc")]
    end = [("grpc-status", str(backend.code.value[0]))]
    if backend.code is not grpc.StatusCode.OK:
        end.append(("grpc-message", quote(backend.details)))
        for name, value in backend.trailers:
            end.append((name, base64.b64encode(value).decode().rstrip("=")))
        peer.h2.send_headers(stream, head + end, end_stream=True)
        return
    if backend.coding:
        head.append(("grpc-encoding", backend.coding))
    body = b""
    if backend.answer is not None:
        message = PACK.get(backend.coding, bytes)(backend.answer)
        body = bytes([bool(backend.coding)]) + len(message).to_bytes(4, "big") + message
    peer.h2.send_headers(stream, head)
    Sending(peer, stream, body, end).go_on()


@dataclass
class Sending:
    """A response that waits for the client's flow control."""

    peer: Peer
    stream: int
    body: bytes
    end: list[tuple[str, str]]

    def go_on(self) -> None:
        """Send what the windows allow, and look again soon for more."""
        h2 = self.peer.h2
        try:
            while self.body and (room := min(h2.local_flow_control_window(self.stream), h2.max_outbound_frame_size)):
                h2.send_data(self.stream, self.body[:room])
                self.body = self.body[room:]
            if not self.body:
                h2.send_headers(self.stream, self.end, end_stream=True)
        except H2Error:  # reset by the client
            return
        self.peer.flush()
        if self.body:
            asyncio.get_running_loop().call_later(0.001, self.go_on)
