"""How the end of a call is read."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from grpc.aio import AioRpcError

from sluiceway.config.compression import zstd_module
from sluiceway.config.grpc_channel.http2 import Response
from sluiceway.config.grpc_channel.messages import frame, message_of, timeout_header
from sluiceway.config.grpc_client import LARGEST_RESPONSE

OK = [(b"grpc-status", b"0")]
zstd = zstd_module()


def response(body: bytes = b"", trailers=OK, **headers: str) -> Response:
    """A whole response; underscores in names are hyphens."""
    made = Response(1, asyncio.Future(loop=asyncio.new_event_loop()))
    made.ended.get_loop().close()
    made.headers = [(b":status", b"200")]
    made.headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    made.trailers = trailers
    made.body += body
    return made


def refused(given: Response) -> tuple[str, str]:
    """Code and text of the error that a response means."""
    with pytest.raises(AioRpcError) as caught:
        message_of(given)
    return caught.value.code().name, caught.value.details()


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
def test_a_message_is_unpacked(coding):
    """By every coding that was offered."""
    pack = {"gzip": gzip.compress, "zstd": zstd.compress}.get(coding, bytes)
    body = frame(pack(b"yes"), is_compressed=coding != "identity")
    assert message_of(response(body, grpc_encoding=coding)) == b"yes"
    assert message_of(response(frame(b"yes", is_compressed=False), grpc_encoding=coding)) == b"yes"


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_bomb_is_a_response_too_large(pack):
    """Unpacking stops at the limit, with grpcio's words."""
    body = frame(pack(bytes(LARGEST_RESPONSE + 1)), is_compressed=True)
    coding = "gzip" if pack is gzip.compress else "zstd"
    assert refused(response(body, grpc_encoding=coding)) == (
        "RESOURCE_EXHAUSTED",
        "CLIENT: Received message larger than max (4194304)",
    )


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"", "identity"),
        (b"\0\0\0\0\1", "identity"),
        (b"\0\0\0\0\0" * 2, "identity"),
        (b"\2\0\0\0\0", "identity"),
        (b"\1\0\0\0\0", "identity"),
        (b"\1\0\0\0\0", "snappy"),
        (b"\1\0\0\0\1x", "gzip"),
    ],
)
def test_a_success_that_cannot_be_read_is_no_message(body, coding):
    """Whatever stands there instead of one: none, a piece, two, a wrong mark, a coding that was not offered."""
    assert message_of(response(body, grpc_encoding=coding)) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("200", "UNKNOWN"), ("400", "INTERNAL"), ("401", "UNAUTHENTICATED"), ("403", "PERMISSION_DENIED"),
        ("404", "UNIMPLEMENTED"), ("429", "UNAVAILABLE"), ("500", "UNKNOWN"), ("502", "UNAVAILABLE"),
        ("503", "UNAVAILABLE"), ("504", "UNAVAILABLE"),
    ],
)  # fmt: skip
def test_without_a_status_http_says_what_happened(status, code):
    """A proxy answers as one."""
    given = response(b"<html>", trailers=None)
    given.headers = [(b":status", status.encode())]
    assert refused(given) == (code, f"HTTP status {status} without a gRPC status")


def test_a_status_is_read_wherever_it_stands():
    """An error may come without a body, in the first headers; numbers that nobody knows are UNKNOWN."""
    assert refused(response(trailers=None, grpc_status="14", grpc_message="a%20b%FF")) == ("UNAVAILABLE", "a b�")
    assert refused(response(trailers=[(b"grpc-status", b"99")])) == ("UNKNOWN", "")


def test_binary_metadata_that_is_no_base64_is_left_out():
    """The error that it came with still counts."""
    trailers = [(b"grpc-status", b"8"), (b"a-bin", b"x"), (b"b-bin", b"eQ==, eg"), (b"c", b"z")]
    with pytest.raises(AioRpcError) as caught:
        message_of(response(trailers=trailers))
    assert dict(caught.value.trailing_metadata()) == {"grpc-status": "8", "b-bin": b"y", "c": "z"}
    assert caught.value.trailing_metadata().get_all("b-bin") == [b"y", b"z"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, b"10m"), (0.001, b"10m"), (4.9931, b"5000m"), (100_000, b"100000S"), (1e12, b"99999999S")],
)
def test_the_time_left_is_rounded_up(seconds, text):
    """To a hundredth of a second, or to a second where milliseconds would need more than eight digits."""
    assert timeout_header(seconds) == (b"grpc-timeout", text)
