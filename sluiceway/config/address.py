"""Addresses to listen on, as settings: whether they can be meant, and whether two of them are one."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final, Literal, Protocol, Self, TypeAlias, runtime_checkable

from pydantic import Field, model_validator

from sluiceway.config.settings import Settings, mistake
from sluiceway.config.types import split_endpoint

__all__ = ["Address", "Listener", "Listens", "Transport", "check_address"]

Transport: TypeAlias = Literal["tcp", "tcp4", "tcp6", "unix"]
"""`tcp` is IPv4 and IPv6, as far as the host has addresses of both."""

_LONGEST_PATH: Final = 107
"""Bytes that the kernel takes of a unix socket's path."""
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
_FAMILIES: Final = {"tcp": frozenset((4, 6)), "tcp4": frozenset((4,)), "tcp6": frozenset((6,))}
_EVERY: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - what is compared with


@dataclass(frozen=True, slots=True)
class Address:
    """A place to listen on: `host:port`, or for the transport `unix` a path."""

    endpoint: str
    transport: Transport = "tcp"

    def overlaps(self, other: Address) -> bool:
        """Whether two listeners cannot have these addresses at the same time, as far as names alone tell.

        Port 0 is a new one each time. Names other than `localhost` are not looked up.
        """
        if "unix" in (self.transport, other.transport):
            return self == other
        port = split_endpoint(self.endpoint)[1]
        if port == 0 or port != split_endpoint(other.endpoint)[1]:
            return False
        return any(
            mine == theirs or (mine[0] == theirs[0] and _EVERY[mine[0]] in (mine[1], theirs[1]))
            for mine in self._places()
            for theirs in other._places()
        )

    def _places(self) -> set[tuple[int, str]]:
        """Each family of addresses that is listened on, with the host in it."""
        families, (host, _) = _FAMILIES[self.transport], split_endpoint(self.endpoint)
        if host.lower() == "localhost":
            return {(family, "127.0.0.1" if family == 4 else "::1") for family in families}
        literal = _literal(host)
        if literal is None:
            return {(family, host.lower() or _EVERY[family]) for family in families}
        if literal == ipaddress.IPv6Address("::"):
            return {(family, _EVERY[family]) for family in families}
        return {(literal.version, str(literal))}


def check_address(endpoint: str, transport: Transport = "tcp") -> None:
    """Raise `ValueError` for an endpoint that no machine can listen on."""
    if transport == "unix":
        if "\0" in endpoint or not 0 < len(endpoint.encode("utf-8", "surrogatepass")) <= _LONGEST_PATH:
            raise ValueError(f"the path of a unix socket has 1 to {_LONGEST_PATH} bytes, and none of them is zero")
        return
    host, _ = split_endpoint(endpoint)
    literal = _literal(host)
    if literal is not None and literal.version not in _FAMILIES[transport]:
        raise ValueError(f"{host} is not an address of transport {transport}")
    if host and literal is None and not _is_name(host):
        raise ValueError(f'invalid host "{host[:100]}"')


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host)) if host[-1:].isdigit() else None
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_name(host: str) -> bool:
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        return False
    # A name whose last part is a number can only be an address, and this one is none.
    return _NAME.fullmatch(name) is not None and not name.removesuffix(".").rpartition(".")[2].isdigit()


@runtime_checkable
class Listens(Protocol):
    """Settings that make their component listen at an address, by which two of them in one graph are found."""

    @property
    def listens_on(self) -> Address: ...


class Listener(Settings):
    """Settings of a server. Wherever they stand in a component's, the graph knows that it listens there."""

    endpoint: str = Field(default="", min_length=1, validate_default=False)
    """`host:port` to listen on; for the transport `unix` the path of the socket."""
    transport: Transport = "tcp"
    """`tcp`, `tcp4`, `tcp6` or `unix`."""

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        if self.endpoint:
            try:
                check_address(self.endpoint, self.transport)
            except ValueError as error:
                raise mistake(str(error), "endpoint") from None
        return self

    @property
    def listens_on(self) -> Address:
        """Where the server listens."""
        return Address(self.endpoint, self.transport)
