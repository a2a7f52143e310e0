"""Listening sockets for an `endpoint` and its `transport`."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import Any

from sluiceway.config.address import Transport
from sluiceway.config.types import split_endpoint
from sluiceway.errors import ConfigError

__all__ = ["check_unix_path", "is_loopback", "listen"]

_BACKLOG = 512
_EVERYWHERE = ("", "::")  # as in Go and in gRPC, "::" is IPv4 as well
_FAMILIES = {"tcp": socket.AF_UNSPEC, "tcp4": socket.AF_INET, "tcp6": socket.AF_INET6}


def is_loopback(endpoint: str, transport: Transport) -> bool:
    """Say whether only this machine can reach the endpoint."""
    if transport == "unix":
        return True
    host, _ = split_endpoint(endpoint)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def listen(endpoint: str, transport: Transport = "tcp") -> list[socket.socket]:
    """Open listening sockets, one for each address of the host, all on the same port, also when it is 0.

    Raises `ConfigError` that names the endpoint when it is in use or is not ours.
    """
    if transport == "unix":
        check_unix_path(endpoint)
        return [_open(socket.AF_UNIX, endpoint, endpoint)]
    host, port = split_endpoint(endpoint)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            None if host in _EVERYWHERE else host,
            port,
            family=_FAMILIES[transport],
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except OSError as error:
        raise ConfigError(f"cannot listen on {endpoint}: {error.strerror or error}") from error
    return _open_all(endpoint, list(dict.fromkeys((family, address) for family, *_, address in found)))


def _open_all(endpoint: str, places: list[tuple[int, tuple[Any, ...]]]) -> list[socket.socket]:
    opened: list[socket.socket] = []
    failure: ConfigError | None = None
    for family, address in places:
        port = opened[0].getsockname()[1] if opened else address[1]
        try:
            opened.append(_open(family, (address[0], port, *address[2:]), endpoint))
        except ConfigError as error:
            failure = error
            if not _is_unavailable(error):
                break
    if failure and not (opened and _is_unavailable(failure)):
        for other in opened:
            other.close()
        raise failure
    return opened


def _is_unavailable(error: ConfigError) -> bool:
    # A host without IPv6 still names ::1 in its hosts file.
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _open(family: int, address: Any, endpoint: str) -> socket.socket:
    try:
        opened = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"cannot listen on {endpoint}: {error.strerror or error}") from error
    try:
        opened.setblocking(False)
        if family != socket.AF_UNIX:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise ConfigError(f"cannot listen on {endpoint}: {error.strerror or error}") from error
    return opened


def check_unix_path(path: str) -> None:
    """Make way for a unix socket: remove what a dead process left, raise `ConfigError` when somebody listens there."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise ConfigError(f"cannot listen on {path}: there is a file that is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)  # noqa: PTH108 - the address of a socket, not a file that we work with
            return
    raise ConfigError(f"cannot listen on {path}: {os.strerror(errno.EADDRINUSE)}")
