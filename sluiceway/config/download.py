"""Configuration by HTTP, as the sources `http:` and `https:` and in `${https://...}`.

One GET, bounded in size and time, as a whole: a server that sends a byte now and then holds nothing up. Certificates
are checked against the system's authorities, and a redirect may lead anywhere but to another scheme. A user and a
password in the URI are sent as basic authentication, to the host they were given for alone, and never shown.
"""

from __future__ import annotations

import base64
import threading
import urllib.request
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from sluiceway.config.client import is_url, user_agent
from sluiceway.config.parse import MAX_BYTES
from sluiceway.errors import ConfigError

__all__ = ["TIMEOUT", "download", "shown"]

TIMEOUT: Final = 10.0
"""Seconds that a download may take, with all its redirects."""


def shown(uri: str) -> str:
    """The URI without what in it may be secret: user, password and query."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"{uri.partition(':')[0]}:..."
    return urlunsplit((parts.scheme, _host(parts), parts.path, "", ""))


def download(uri: str, timeout: float = TIMEOUT) -> bytes:
    """Get what lies at an `http:` or `https:` URI; at most one byte more than a file of configuration may have.

    Blocks, but no longer than `timeout` seconds. Raises `ConfigError` that names the URI as `shown` gives it.
    """
    if not is_url(uri):
        raise ConfigError(f"{shown(uri)} is not a valid URL")
    outcome: list[bytes | ConfigError] = []
    # A thread of its own bounds all of it: looking up names and reading answer heads know no timeout as a whole.
    thread = threading.Thread(target=lambda: outcome.append(_attempt(uri, timeout)), daemon=True)
    thread.start()
    thread.join(timeout)
    result = outcome[0] if outcome else ConfigError(f"unable to fetch {shown(uri)}: no answer in {timeout:g} s")
    if isinstance(result, ConfigError):
        raise result
    return result


def _attempt(uri: str, timeout: float) -> bytes | ConfigError:
    try:
        return _get(uri, timeout)
    except HTTPError as error:
        error.close()
        reason = f"the answer was {error.code}" if error.code >= 400 else "it redirects in a circle or elsewhere"
    except URLError as error:
        reason = str(getattr(error.reason, "strerror", None) or error.reason)
    except (OSError, HTTPException, ValueError) as error:
        reason = type(error).__name__  # texts of these may hold the whole URI
    return ConfigError(f"unable to fetch {shown(uri)}: {reason}")


def _get(uri: str, timeout: float) -> bytes:
    parts = urlsplit(uri)
    bare = urlunsplit((parts.scheme, _host(parts), parts.path or "/", parts.query, ""))
    request = urllib.request.Request(bare, headers={"User-Agent": user_agent(), "Accept-Encoding": "identity"})  # noqa: S310 - `is_url` was asked
    if parts.username is not None:
        proof = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(proof).decode()}")
    with urllib.request.build_opener(_SameScheme).open(request, timeout=timeout) as response:
        content: bytes = response.read(MAX_BYTES + 1)
        if response.status != HTTPStatus.OK:
            raise URLError(f"the answer was {response.status}")
        if response.length and len(content) <= MAX_BYTES:
            raise URLError("the answer was cut off")
    return content


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirects, of which none may lead from TLS to plain text or to a file."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != req.type:
            raise URLError(f"it redirects to another scheme, {urlsplit(newurl).scheme[:20]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
