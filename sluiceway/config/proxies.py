"""Which proxy the environment names, by Go's rule and so the Collector's: the same for every client.

`HTTP_PROXY` and `HTTPS_PROXY` hold a URL or only `host:port`, `NO_PROXY` what is reached directly: domains with all
below them (`.example.com` only those below), addresses, networks, each with a port or without, or `*`. Every name may
be in lower case. `localhost` and loopback addresses are always reached directly.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from sluiceway.config.client import is_url
from sluiceway.errors import ConfigError

__all__ = ["environment_proxy"]

_VARIABLES: Final = {"http": "HTTP_PROXY", "https": "HTTPS_PROXY"}


def environment_proxy(scheme: str, host: str, port: int) -> str | None:
    """The URL of the proxy by which `host` is to be reached; None for directly.

    Raises `ConfigError` that does not show the value, which may hold a password, when no proxy can be made of it.
    """
    name = _VARIABLES[scheme]
    value = _variable(name)
    if not value or _is_direct(host.lower(), str(port)):
        return None
    url = value if "://" in value else f"http://{value}"
    if not is_url(url):
        raise ConfigError(
            f"{name}: the environment does not name a proxy as http://host:port, https://... or host:port"
        )
    return url


def _variable(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.lower(), "")


def _is_direct(host: str, port: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    entries = (entry.strip().lower() for entry in _variable("NO_PROXY").split(","))
    return any(_covers(entry, host, address, port) for entry in entries if entry)


def _covers(entry: str, host: str, address: IPv4Address | IPv6Address | None, port: str) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, its_port = _split(entry)
    if not name or its_port not in ("", port):
        return False
    if (its_address := _address(name)) is not None:
        return its_address == address
    name = name[1:] if name.startswith("*.") else name
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _split(entry: str) -> tuple[str, str]:
    if _address(entry) is not None:  # an IPv6 address without brackets
        return entry, ""
    name, colon, port = entry.rpartition(":")
    name, port = (name, port) if colon and not entry.endswith("]") else (entry, "")
    return name.removeprefix("[").removesuffix("]"), port


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
