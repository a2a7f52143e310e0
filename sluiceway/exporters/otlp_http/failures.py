"""Requests without an answer, in words: aiohttp's own show objects of Python, and hide what TLS says beneath."""

from __future__ import annotations

import ssl
from typing import Final

from aiohttp import ClientConnectorError, ClientError, ClientProxyConnectionError

from sluiceway.config.advice import tls_advice

__all__ = ["explain", "explain_connecting"]

_MAYBE_CERTIFICATE: Final = "if it demands a certificate of ours, see tls::cert_file and tls::key_file"
"""An alert that comes while the request is written is lost."""


def explain(error: Exception, name: str, *, encrypted: bool) -> str:
    """Say what happened to a request to the server `name`, and where it is known what to look at."""
    cause: BaseException | None = error
    while cause is not None and not _is_of_openssl(cause):
        cause = cause.__cause__
    if isinstance(cause, ssl.SSLError):
        reason = getattr(cause, "reason", None) or str(cause)  # Python does not know all that OpenSSL says by name
        words = getattr(cause, "verify_message", "") or reason.lower().replace("_", " ")
        return _joined(f"TLS: {words.rstrip('.')}", tls_advice(f"{words} {reason}", name))
    if isinstance(error, ClientConnectorError):
        what = "the proxy " if isinstance(error, ClientProxyConnectionError) else ""
        return explain_connecting(error.os_error, f"{what}{error.host}:{error.port}", encrypted=encrypted)
    if isinstance(error.__cause__, ConnectionError):
        hint = _MAYBE_CERTIFICATE if encrypted else ""
        return _joined("the server closed the connection before it had the request", hint)
    return f"{type(error).__name__}: {error}"


def explain_connecting(error: OSError, place: str, *, encrypted: bool) -> str:
    """Say why there is no connection to a place."""
    reason = error.strerror or str(error) or type(error).__name__
    hint = _MAYBE_CERTIFICATE if encrypted and isinstance(error, ConnectionResetError) else ""
    return _joined(f"cannot connect to {place}: {reason}", hint)


def _is_of_openssl(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) and not isinstance(error, ClientError)


def _joined(text: str, advice: str) -> str:
    return f"{text}; {advice}" if advice else text
