"""A gRPC channel of our own, for unary calls: grpcio's core cannot compress messages by zstd.

To its user it is a `grpc.aio.Channel`, errors included.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from sluiceway.config.compression import compressor
from sluiceway.config.grpc_channel.connections import Connections
from sluiceway.config.grpc_channel.http2 import RequestError, Response, TooLargeResponseError
from sluiceway.config.grpc_channel.messages import (
    TOO_LARGE,
    code_of_reset,
    fixed_headers,
    frame,
    message_of,
    metadata_headers,
    timeout_header,
)
from sluiceway.config.grpc_client import GrpcClient, SentMetadata

__all__ = ["Channel"]

INLINE: Final = 256 * 1024
"""Bytes: larger messages are compressed in a thread, so that the event loop stays free."""


class Channel:
    """Unary calls to one server by the settings of `client`, encrypted where there is a `context`.

    Nothing is connected before the first call. Must be closed.
    """

    def __init__(self, client: GrpcClient, context: ssl.SSLContext | None) -> None:
        self._client = client
        self._compress = compressor(client.compression)
        self._scheme = "http" if context is None else "https"
        self._connections = Connections(client, context)

    def unary_unary(self, method: str, serialize: None = None, deserialize: None = None) -> _Call:  # noqa: ARG002
        """What calls `method`; requests and responses are bytes."""
        return _Call(self, fixed_headers(self._client, self._scheme, method))

    async def connect(self) -> None:
        """Return when there is a connection; raise `ConnectionError` when there is none to be had."""
        await self._connections.take(wait=False)

    async def close(self, grace: None = None) -> None:  # noqa: ARG002
        """Close every connection, which ends the calls on it."""
        await self._connections.close()

    async def packed(self, request: bytes) -> bytes:
        """The request as it goes on the wire: behind its length, compressed."""
        if self._compress is None:
            return frame(request, is_compressed=False)
        off_loop = len(request) > INLINE
        packed = await asyncio.to_thread(self._compress, request) if off_loop else self._compress(request)
        return frame(packed, is_compressed=True)

    async def send(
        self, fixed: tuple[tuple[bytes, bytes], ...], message: bytes, *, deadline: float | None, wait: bool
    ) -> Response:
        """Send a message once; twice where the server has certainly not looked at the first."""
        try:
            return await self._send(fixed, message, deadline, wait)
        except RequestError as error:
            if not error.is_unseen:
                raise
        return await self._send(fixed, message, deadline, wait)

    async def _send(
        self, fixed: tuple[tuple[bytes, bytes], ...], message: bytes, deadline: float | None, wait: bool
    ) -> Response:
        connection = await self._connections.take(wait=wait)
        headers = fixed
        if deadline is not None:
            headers = *fixed, timeout_header(deadline - asyncio.get_running_loop().time())
        return await connection.request(headers, message)


class _Call:
    """Calls one method of a channel."""

    def __init__(self, channel: Channel, fixed: tuple[tuple[bytes, bytes], ...]) -> None:
        self._channel = channel
        self._fixed = fixed

    async def __call__(
        self,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: SentMetadata = (),
        wait_for_ready: bool | None = None,
    ) -> bytes | None:
        """Send the request and return the response; raise `AioRpcError`. Cancelling cancels it at the server."""
        headers = *self._fixed, *metadata_headers(metadata)
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                message = await self._channel.packed(request)
                response = await self._channel.send(headers, message, deadline=deadline, wait=bool(wait_for_ready))
        except TimeoutError as error:
            raise _failed(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded") from error
        except ConnectionError as error:
            raise _failed(StatusCode.UNAVAILABLE, str(error)) from error
        except RequestError as error:
            raise _failed(code_of_reset(error.code), str(error)) from error
        except TooLargeResponseError as error:
            raise _failed(StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE) from error
        return message_of(response)


def _failed(code: StatusCode, details: str) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details, details)
