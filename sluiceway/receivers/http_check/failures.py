"""Checks that failed, in words that do not vary: `phase: reason`, without ports, addresses or what a server says."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Final

from sluiceway.errors import ConfigError

__all__ = ["CheckError", "explain"]

_NAMES: Final = {
    socket.EAI_NONAME: "name not found",
    socket.EAI_AGAIN: "the name server does not answer",
    socket.EAI_FAIL: "the name server fails",
}
_MISMATCHES: Final = {62: "the certificate is for another name", 64: "the certificate is for another address"}
"""OpenSSL's own texts for these hold the name."""


class CheckError(Exception):
    """A check failed, for a reason that is one of a few fixed texts."""


def explain(error: Exception, phase: str) -> str:
    """Say where a check failed and why."""
    return f"{phase}: {_reason(error)}"


def _reason(error: Exception) -> str:
    match error:
        case CheckError() | ConfigError():
            return str(error)
        case TimeoutError():
            return "timed out"
        case socket.gaierror():
            return _NAMES.get(error.errno or 0) or (error.strerror or "the lookup failed").lower()
        case UnicodeError():
            return "the name is not valid"
        case ssl.SSLCertVerificationError():
            return _MISMATCHES.get(error.verify_code) or error.verify_message or "the certificate is not valid"
        case ssl.SSLError():
            return (error.reason or "the handshake failed").lower().replace("_", " ")
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case ConnectionError():
            return "connection closed"
        case OSError():
            return "no address can be reached"
        case _:
            return type(error).__name__
