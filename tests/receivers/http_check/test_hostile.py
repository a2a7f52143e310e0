"""Servers that mean harm, or know no better: a check ends, holds little, and says why in fixed words."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from yarl import URL

from sluiceway.receivers.http_check.check import _request
from sluiceway.receivers.http_check.exchange import Answer, _Reading
from sluiceway.receivers.http_check.failures import CheckError
from sluiceway.receivers.http_check.request import Request, follow
from sluiceway.receivers.http_check.settings import Target
from tests.receivers.http_check.bench import counts, errors, measured, status, value
from tests.receivers.http_check.raw import saying, serving

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "response: the connection was closed before the end of the answer"),
        (b"SSH-2.0-OpenSSH\r\n", "response: the answer is no HTTP/1.1"),
        (OK + b"Content-Length: 9\r\n\r\nabc", "response: the connection was closed before the end of the answer"),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
            "response: the connection was closed before the end of the answer",
        ),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "response: the answer is no HTTP/1.1"),
        (OK + b"A: " + b"x" * 200_000, "response: the head of the answer is too large"),
        (OK + b"A: x\r\n" * 50_000, "response: the head of the answer is too large"),
        (OK + b"\r\n" + b"x" * 2000, "response: the body is larger than max_response_size"),
        (OK + b"Content-Length: 2000\r\n\r\n" + b"x" * 2000, "response: the body is larger than max_response_size"),
    ],
)
async def test_a_wrong_answer(answer: bytes, text: str) -> None:
    """The check fails."""
    async with serving(saying(answer)) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}', max_response_size: 1KiB, timeout: 5s}}")
    assert errors(found) == [text]
    assert status(found) == (0, "")


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (OK + b"\r\nabc", 3),
        (OK + b"Content-Length: 3\r\n\r\nabcdef", 3),
        (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na", 1),
        (b"HTTP/1.0 200 OK\r\n\r\nabcd", 4),
    ],
)
async def test_an_odd_answer(answer: bytes, size: int) -> None:
    """Without a length, with more than was said, after an interim one, or of an old server: it counts."""
    async with serving(saying(answer)) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}'}}")
    assert (status(found), value(found, "httpcheck.response.size"), errors(found)) == ((200, "2xx"), size, [])


async def test_an_endless_body_ends_at_the_limit() -> None:
    """It is not read to the timeout."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with serving(handler) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}', timeout: 20s}}")
    assert errors(found) == ["response: the body is larger than max_response_size"]
    assert value(found, "httpcheck.duration") < 10_000


async def test_a_pattern_on_a_hostile_body() -> None:
    """What would take an engine that backtracks for ever takes linear time."""
    body = b"a" * 1_000_000
    async with serving(saying(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)) as port:
        began = time.perf_counter()
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}', validations: [{{regex: '(a+)+b'}}]}}")
    assert counts(found, "failed") == {"regex": 1}
    assert time.perf_counter() - began < 5


async def test_a_server_that_refuses_before_it_has_read_all() -> None:
    """Its answer counts, though the request never went out."""
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await asyncio.sleep(60)

    async with serving(handler, holds=4096) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}', method: PUT, body: {'x' * 4_100_000}}}")
    assert (status(found), errors(found)) == ((413, "4xx"), [])


async def test_a_server_that_hangs_up_while_the_request_is_sent() -> None:
    """The check fails."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with serving(handler, holds=4096) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}', method: PUT, body: {'x' * 4_100_000}}}")
    assert errors(found) == ["request: connection reset by peer"]


@given(
    some.lists(
        some.binary(min_size=1, max_size=60) | some.sampled_from([OK, b"\r\n", b"Content-Length: ", b"\r\n\r\n"])
    )
)
def test_any_bytes_are_an_answer_or_none(pieces: list[bytes]) -> None:
    """Nothing else is ever raised."""
    reading = _Reading(bodiless=False, keep=True, largest=100)
    with suppress(CheckError):
        while pieces and not reading.take(pieces.pop()):
            assert len(reading.answer.body) <= 100
        reading.take(b"")


@given(some.text(max_size=40) | some.from_regex(r"(https?:)?//[^/]{0,20}(:[0-9]{0,6})?/.{0,20}"))
@example("http://[::1")
@example("//a:99999")
@example("http://a\r\nX: y")
@example("http://\u2024/")
def test_any_place_to_go_is_one_or_none(location: str) -> None:
    """What is asked for next is one request without line breaks of the server's."""
    request = Request(URL("http://127.0.0.1/a"), "GET", {"a": "b"})
    with suppress(CheckError):
        following = follow(request, Answer(302, {"location": location}), {})
        if following is not None:
            lines = following.encode().split(b"\r\n")
            assert len(lines) == 5 + ("a" in following.headers) + any(line[:4] == b"auth" for line in lines)
            assert lines[0].count(b" ") == 2


async def test_bytes_behind_the_answer_are_none_of_it() -> None:
    """A second answer in the same breath changes nothing."""
    two = OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nbad"
    async with serving(saying(two)) as port:
        found = await measured(
            f"{{endpoint: 'http://127.0.0.1:{port}', validations: [{{contains: ok}}, {{not_contains: bad}}]}}"
        )
    assert counts(found, "passed") == {"contains": 2}
    assert status(found)[0] == 200


async def test_what_hangs_takes_nobody_elses_points() -> None:
    """Of a measurement with a `timeout` what could not be asked in time is told so, and all else is there."""

    async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with serving(hang) as dead, serving(saying(OK + b"Content-Length: 0\r\n\r\n")) as port:
        found = await measured(
            f"{{endpoints: ['http://127.0.0.1:{port}', 'http://127.0.0.1:{dead}', 'http://127.0.0.1:{dead}/2']}}",
            more="timeout: 1s, max_concurrent_checks: 1",
        )
    assert len(errors(found)) == 2
    assert len({point["attributes"]["http.url"] for point in found["httpcheck.status"]}) == 3


def test_credentials_stay_with_the_server_that_they_are_for() -> None:
    """A redirect on the same server is asked with them, and one to another without."""
    request = _request(Target(endpoint="http://u:p@a/1"), URL("http://u:p@a/1"), "GET")
    same = follow(request, Answer(302, {"location": "/2"}), {})
    other = follow(request, Answer(302, {"location": "http://b/2"}), {})
    assert same is not None
    assert other is not None
    assert b"authorization: Basic dTpw" in same.encode()
    assert b"authorization" not in other.encode()
