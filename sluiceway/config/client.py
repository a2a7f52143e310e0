"""What clients of every protocol share: who we say we are, and the headers we send."""

from __future__ import annotations

import platform
import re
import sys
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

from sluiceway.config.types import Headers, Opaque

__all__ = ["RequestHeaders", "check_header", "is_url", "user_agent"]

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def check_header(name: str, value: str) -> None:
    """Raise `ValueError`, which does not hold the value, for a header that cannot be sent."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"invalid header name {name[:100]!r}")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value of header {name!r} holds characters that no header may have")


def _check_headers(headers: dict[str, Opaque]) -> dict[str, Opaque]:
    seen: set[str] = set()
    for name, value in headers.items():
        check_header(name, value.reveal())
        if name.lower() in seen:
            raise ValueError(f"header {name!r} is given twice, in different spellings")
        seen.add(name.lower())
    return headers


RequestHeaders = Annotated[Headers, AfterValidator(_check_headers)]
"""Headers that can be sent: names are tokens, values have no line breaks, none comes twice."""


def is_url(text: str) -> bool:
    """Whether `text` is an absolute HTTP URL that can be connected to."""
    try:
        url = urlsplit(text)
        port_is_possible = url.port != 0
    except ValueError:
        return False
    return (
        url.scheme in ("http", "https")
        and bool(url.hostname)
        and "\\" not in url.netloc
        and port_is_possible
        and text.isprintable()
    )


def user_agent() -> str:
    """Our name and version, and the platform, as every client sends them unless told otherwise."""
    from sluiceway import __version__

    return f"sluiceway/{__version__} ({sys.platform}/{platform.machine()})"
