"""Where messages are listened for, and how they are read."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from sluiceway.config.address import Address, check_address
from sluiceway.config.tls import TlsServer
from sluiceway.config.types import AnyCase, Section, Settings, Size

__all__ = ["Async", "SyslogSettings", "Tcp", "Udp"]


class _Listening(Settings):
    listen_address: str = Field(min_length=1)
    """`host:port` to listen on."""
    add_attributes: bool = False
    """Whether `net.transport`, `net.peer.ip`, `net.peer.port`, `net.host.ip` and `net.host.port` are added."""
    one_log_per_packet: bool = False
    """Whether a packet, or all that one TCP connection sends, is one message; otherwise lines are."""
    encoding: str = "utf-8"
    """The encoding of messages, of those in which ASCII is as it is."""
    preserve_leading_whitespaces: bool = False
    """Whether blanks in front of a message are kept."""
    preserve_trailing_whitespaces: bool = False
    """Whether blanks behind a message are kept."""

    @field_validator("listen_address")
    @classmethod
    def _check_address(cls, address: str) -> str:
        check_address(address)
        return address

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: str) -> str:
        try:
            is_like_ascii = codecs.lookup(encoding).encode("<1>a\n")[0] == b"<1>a\n"
        except (LookupError, TypeError):
            raise ValueError(f"unsupported encoding '{encoding}'") from None
        if not is_like_ascii:
            raise ValueError(f"the encoding '{encoding}' does not hold ASCII as it is")
        return encoding

    def text(self, data: bytes) -> str:
        """A message as text: what is no such text is replaced."""
        text = data.decode(self.encoding, errors="replace")
        if not self.preserve_trailing_whitespaces:
            text = text.rstrip(" \t\r\n\0")
        return text if self.preserve_leading_whitespaces else text.lstrip(" \t\r\n")


class Tcp(_Listening):
    """Messages over TCP."""

    max_log_size: Size = Field(default=1024 * 1024, ge=64 * 1024)
    """The longest message; what is longer is cut."""
    max_buffer_size: Size | None = Field(default=None, ge=64 * 1024)
    """The old name of `max_log_size`."""
    max_connections: int = Field(default=1024, ge=1)
    """Open connections. A further one displaces the idlest one of the peer that has most of them."""
    tls: Section[TlsServer] = None
    """TLS; off unless set."""

    @property
    def longest(self) -> int:
        """Bytes of the longest message."""
        return self.max_buffer_size or self.max_log_size

    @property
    def listens_on(self) -> Address:
        """Where the server listens."""
        return Address(self.listen_address)


class Async(Settings):
    """How packets wait. There is one reader, which is quick enough."""

    readers: int = Field(default=1, ge=1)
    """Accepted for the Collector's sake."""
    processors: int = Field(default=1, ge=1)
    """Accepted for the Collector's sake."""
    max_queue_length: int = Field(default=100, ge=1)
    """Packets that wait for the pipeline; further ones are dropped and counted."""


class Udp(_Listening):
    """Messages over UDP."""

    async_: Section[Async] = Field(default=None, alias="async")
    """How packets wait; 10,000 do unless set."""

    @property
    def queue(self) -> int:
        """Packets that may wait."""
        return self.async_.max_queue_length if self.async_ else 10_000


class SyslogSettings(Settings):
    """The transport and the protocol."""

    tcp: Tcp | None = None
    """Listen on TCP."""
    udp: Udp | None = None
    """Listen on UDP."""
    protocol: Annotated[Literal["rfc3164", "rfc5424"], AnyCase()]
    """The format of messages."""
    location: str = "UTC"
    """The time zone of RFC 3164's times, such as `Europe/Berlin`."""
    enable_octet_counting: bool = False
    """Whether each message has its number of bytes in front (RFC 6587, for `rfc5424` over TCP)."""
    max_octets: int = Field(default=8192, ge=1)
    """The largest such number; longer messages are dropped and counted."""
    allow_skip_pri_header: bool = False
    """Whether messages without a priority are read."""
    non_transparent_framing_trailer: Literal["LF", "NUL"] | None = None
    """What ends each message over TCP; a line feed unless set."""
    on_error: Literal["send", "drop", "send_quiet", "drop_quiet"] = "send"
    """What becomes of a message that cannot be read: it is sent as it is, or dropped; `_quiet` logs nothing."""

    @property
    def listening(self) -> Tcp | Udp:
        """The one of both that is set."""
        found = self.tcp or self.udp
        assert found is not None  # noqa: S101 - checked below
        return found

    @field_validator("location")
    @classmethod
    def _check_location(cls, location: str) -> str:
        try:
            ZoneInfo(location or "UTC")
        except (ValueError, OSError, LookupError):
            raise ValueError(f"failed to load location {location}") from None
        return location

    @model_validator(mode="after")
    def _check(self) -> Self:
        trailer = self.non_transparent_framing_trailer
        if (self.tcp is None) == (self.udp is None):
            raise ValueError("exactly one of tcp and udp must be set")
        if self.protocol != "rfc5424" and (trailer or self.enable_octet_counting):
            raise ValueError("octet_counting and non_transparent_framing are only compatible with protocol rfc5424")
        if trailer and self.enable_octet_counting:
            raise ValueError("only one of octet_counting or non_transparent_framing can be enabled")
        if self.enable_octet_counting and self.allow_skip_pri_header:
            raise ValueError("allow_skip_pri_header cannot be used with enable_octet_counting")
        if self.udp and (trailer or self.enable_octet_counting):
            raise ValueError("octet_counting and non_transparent_framing need tcp")
        return self
