"""The head of an HTTP/1.1 request, parsed strictly: two readings of one request are how requests get smuggled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import httptools

__all__ = ["BadRequest", "Head", "parse_head"]

_SINGLE: Final = frozenset({
    b"authorization", b"content-encoding", b"content-length", b"content-type", b"expect", b"host", b"origin",
    b"transfer-encoding",
})  # fmt: skip
MOST_FIELDS: Final = 128
"""Each costs work, however short it is."""
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")


class BadRequest(Exception):  # noqa: N818 - HTTP's own name for status 400
    """The request breaks HTTP, or asks for what this server does not do; the connection cannot be used any more."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class Head:
    """A request line and its fields. Names are lower case; `length` is -1 for a chunked body."""

    method: str
    path: str
    query: str
    fields: list[tuple[bytes, bytes]]
    named: dict[bytes, bytes]
    length: int
    keep_alive: bool
    expects: bool
    _headers: Mapping[str, tuple[str, ...]] | None = field(default=None, repr=False)

    def value(self, name: bytes) -> str:
        """The value of a field, repeated ones joined by commas; empty when it is absent."""
        return self.named.get(name, b"").decode("latin-1")

    def headers(self) -> Mapping[str, tuple[str, ...]]:
        """All fields by name, for authenticators and `include_metadata`."""
        if self._headers is None:
            collected: dict[str, tuple[str, ...]] = {}
            for raw_name, raw_value in self.fields:
                name = raw_name.decode("latin-1")
                collected[name] = (*collected.get(name, ()), raw_value.decode("latin-1"))
            self._headers = MappingProxyType(collected)
        return self._headers


class _Fields:
    """What httptools calls back with."""

    __slots__ = ("fields", "named", "url")

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.named: dict[bytes, bytes] = {}

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        value = value.strip(b" \t")  # not part of the value, RFC 9110 section 5.5
        name = name.lower()
        if name in self.named:
            if name in _SINGLE:
                raise BadRequest
            self.named[name] += b"," + value
        else:
            self.named[name] = value
        self.fields.append((name, value))


def parse_head(raw: bytes) -> Head:
    """Parse a head up to and with its empty line; raise `BadRequest` for anything that is not plain HTTP/1.x."""
    lines = raw.count(b"\r\n")
    if raw.count(b"\n") != lines or raw.count(b"\r") != lines or b"\0" in raw or b"\r\n " in raw or b"\r\n\t" in raw:
        raise BadRequest  # a bare line end, a NUL, or a folded field
    if lines > MOST_FIELDS + 2:
        raise BadRequest(431)
    found = _Fields()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # an upgrade is an offer, which we do not take up
    except httptools.HttpParserError as error:
        raise BadRequest from error
    version = parser.get_http_version()
    if version not in ("1.0", "1.1"):
        raise BadRequest(505)
    if version == "1.1" and b"host" not in found.named:
        raise BadRequest
    path, query = _target(found.url)
    expects = found.named.get(b"expect", b"").lower()
    if expects not in (b"", b"100-continue"):
        raise BadRequest(417)
    return Head(
        method=parser.get_method().decode("ascii"),
        path=path,
        query=query,
        fields=found.fields,
        named=found.named,
        length=_length(found.named, version),
        keep_alive=_keeps_alive(found.named, version),
        expects=bool(expects) and version == "1.1",
    )


def _keeps_alive(named: Mapping[bytes, bytes], version: str) -> bool:
    options = {option.strip() for option in named.get(b"connection", b"").lower().split(b",")}
    return b"keep-alive" in options if version == "1.0" else b"close" not in options


def _target(url: bytes) -> tuple[str, str]:
    if not url.startswith(b"/"):
        try:
            parsed = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError as error:
            raise BadRequest from error
        return (parsed.path or b"/").decode("latin-1"), (parsed.query or b"").decode("latin-1")
    path, _, query = url.partition(b"?")
    return path.decode("latin-1"), query.decode("latin-1")


def _length(named: Mapping[bytes, bytes], version: str) -> int:
    length, coding = named.get(b"content-length"), named.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or version == "1.0" or coding.lower() != b"chunked":
            raise BadRequest
        return -1
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise BadRequest
    return int(length)
