"""What gRPC puts on HTTP/2: the headers of a call, messages behind their lengths, and how a call ended.

The forms are those of gRPC's "PROTOCOL-HTTP2" and "HTTP to gRPC Status Code Mapping".
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from h2.errors import ErrorCodes

from sluiceway.config.client import user_agent
from sluiceway.config.decompression import decompress
from sluiceway.config.grpc_channel.http2 import RawHeaders, Response
from sluiceway.config.grpc_client import KEY, LARGEST_RESPONSE, TEXT, GrpcClient, SentMetadata
from sluiceway.errors import DecodeError, TooLargeError

__all__ = ["TOO_LARGE", "code_of_reset", "fixed_headers", "frame", "message_of", "metadata_headers", "timeout_header"]

PREFIX: Final = 5
"""Bytes in front of a message: whether it is compressed, and its length."""
TOO_LARGE: Final = f"CLIENT: Received message larger than max ({LARGEST_RESPONSE})"
"""As grpcio says it."""

_PREFIX: Final = struct.Struct(">?I")
_CODINGS: Final = ("gzip", "zstd")
_CODES: Final = MappingProxyType({str(code.value[0]).encode(): code for code in StatusCode})
_CODE_OF_HTTP: Final[Mapping[bytes, StatusCode]] = MappingProxyType(
    {
        b"400": StatusCode.INTERNAL,
        b"401": StatusCode.UNAUTHENTICATED,
        b"403": StatusCode.PERMISSION_DENIED,
        b"404": StatusCode.UNIMPLEMENTED,
        b"429": StatusCode.UNAVAILABLE,
        b"502": StatusCode.UNAVAILABLE,
        b"503": StatusCode.UNAVAILABLE,
        b"504": StatusCode.UNAVAILABLE,
    }
)
"""What an answer without a status, a proxy's say, means to gRPC; OTLP over HTTP has another table."""
_CODE_OF_RESET: Final[Mapping[int | None, StatusCode]] = MappingProxyType(
    {
        None: StatusCode.UNAVAILABLE,
        ErrorCodes.REFUSED_STREAM: StatusCode.UNAVAILABLE,
        ErrorCodes.CANCEL: StatusCode.CANCELLED,
        ErrorCodes.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
        ErrorCodes.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
    }
)
_MOST: Final = 99_999_999
"""`grpc-timeout` has eight digits."""


def code_of_reset(reason: int | None) -> StatusCode:
    """What it means that the server reset a request, or that the connection broke, which has no reason."""
    return _CODE_OF_RESET.get(reason, StatusCode.INTERNAL)


def fixed_headers(client: GrpcClient, scheme: str, method: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that every call of a method begins with."""
    fields = {
        ":method": "POST",
        ":scheme": scheme,
        ":path": method,
        ":authority": client.authority_sent,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": client.user_agent or user_agent(),
        "grpc-accept-encoding": ",".join(("identity", *_CODINGS)),
    }
    if client.compression not in ("", "none"):
        fields["grpc-encoding"] = client.compression
    return tuple((name.encode(), value.encode()) for name, value in fields.items())


def metadata_headers(metadata: SentMetadata) -> Iterator[tuple[bytes, bytes]]:
    """Metadata as headers; values that are bytes go as base64.

    Raises `AioRpcError`, which holds no value, for what a server would end the whole connection for.
    """
    for name, value in metadata:
        text = base64.b64encode(value).rstrip(b"=").decode() if isinstance(value, bytes) else value.strip(" ")
        if not (KEY.fullmatch(name) and TEXT.fullmatch(text)):
            reason = f"metadata {name!r} cannot be sent"
            raise AioRpcError(StatusCode.INTERNAL, Metadata(), Metadata(), reason, reason)
        yield name.encode(), text.encode()


def timeout_header(seconds: float) -> tuple[bytes, bytes]:
    """The time that is left, rounded up so that it is often the same and compresses to a byte."""
    hundredths = max(math.ceil(seconds * 100), 1)
    if hundredths * 10 <= _MOST:
        return b"grpc-timeout", b"%dm" % (hundredths * 10)
    return b"grpc-timeout", b"%dS" % min(math.ceil(seconds), _MOST)


def frame(message: bytes, *, is_compressed: bool) -> bytes:
    """A message behind its length."""
    return _PREFIX.pack(is_compressed, len(message)) + message


def message_of(response: Response) -> bytes | None:
    """The message of a response; None, as grpcio has it, for OK without one that can be read.

    Raises `AioRpcError` where the status is not OK or the message is too large.
    """
    fields = dict(response.headers)
    trailers = response.headers if response.trailers is None else response.trailers
    status = dict(trailers).get(b"grpc-status")
    if status is None:
        code = _CODE_OF_HTTP.get(fields[b":status"], StatusCode.UNKNOWN)
        raise _error(response, code, f"HTTP status {fields[b':status'].decode()} without a gRPC status")
    if status != b"0":
        text = unquote(dict(trailers).get(b"grpc-message", b"").decode("ascii", "replace"), errors="replace")
        raise _error(response, _CODES.get(status, StatusCode.UNKNOWN), text)
    try:
        return _unframed(response.body, fields.get(b"grpc-encoding", b"identity").decode("ascii", "replace"))
    except TooLargeError as error:
        raise _error(response, StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE) from error
    except DecodeError:
        return None


def _unframed(body: bytearray, coding: str) -> bytes:
    if len(body) < PREFIX:
        raise DecodeError("there is no message in it")
    flag, length = body[0], int.from_bytes(body[1:PREFIX], "big")
    if flag > 1 or length != len(body) - PREFIX:
        raise DecodeError("it is not one message")
    with memoryview(body) as view:
        if not flag:
            return bytes(view[PREFIX:])
        if coding not in _CODINGS:
            raise DecodeError("it is compressed in a way that was not offered")
        return decompress(coding, view[PREFIX:], LARGEST_RESPONSE)


def _error(response: Response, code: StatusCode, details: str) -> AioRpcError:
    trailers = response.headers if response.trailers is None else response.trailers
    return AioRpcError(code, _metadata(response.headers), _metadata(trailers), details, details)


def _metadata(headers: RawHeaders) -> Metadata:
    return Metadata(*_decoded(headers))


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, str | bytes]]:
    for raw, value in headers:
        name = raw.decode("ascii", "replace")
        if name.startswith(":"):
            continue
        if name.endswith("-bin"):
            yield from ((name, part) for part in _binaries(value))
        else:
            yield name, value.decode("ascii", "replace")


def _binaries(value: bytes) -> Sequence[bytes]:
    """The values of one binary header, which may be several with commas between them; none where it is no base64."""
    try:
        return [base64.b64decode(part.strip() + b"==") for part in value.split(b",")]
    except binascii.Error:
        return []
