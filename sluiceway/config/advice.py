"""What to look at when TLS fails, or is missing, by the words of OpenSSL, BoringSSL and web servers, however spelt."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["scheme_advice", "tls_advice"]

_ADVICE: Final = tuple(
    (re.compile(pattern.replace(" ", "[ _]"), re.IGNORECASE), text)
    for pattern, text in (
        (r"alert certificate required|alert handshake failure",
         "the server seems to demand a certificate of ours: see tls::cert_file and tls::key_file"),
        (r"alert protocol version|unsupported protocol",
         "there is no TLS version that both sides allow: see tls::min_version and tls::max_version"),
        (r"alert (unknown ca|bad certificate|certificate|unsupported certificate|access denied)",
         "the server does not accept our certificate: see tls::cert_file and tls::key_file"),
        (r"host ?name mismatch|ip address mismatch|hostname verification",
         "the server's certificate is not for {name}: see the endpoint and tls::server_name_override"),
        (r"certificate has expired|certificate is not yet valid",
         "the server's certificate has to be renewed, or one of the clocks is wrong"),
        (r"unable to get (local )?issuer|self.signed|certificate verify failed",
         "the server's certificate comes from nobody who is trusted here: see tls::ca_file"),
        (r"wrong version number|http request|record layer failure|packet length too long",
         "the server does not speak TLS: see the endpoint's scheme and tls::insecure"),
    )
)  # fmt: skip
"""The first that fits counts."""
_WANTS_TLS: Final = re.compile(rb"HTTP request (was sent )?to (an )?HTTPS (server|port)", re.IGNORECASE)
"""Go's servers, and nginx."""


def tls_advice(words: str, name: str) -> str:
    """What may be wrong and which key to look at, when a handshake with the server `name` fails; empty if unknown."""
    return next((text.format(name=name) for pattern, text in _ADVICE if pattern.search(words)), "")


def scheme_advice(status: int, answer: bytes | None) -> str:
    """What to do where a server's answer to a request without TLS is that it wants some; empty for all others."""
    return (
        "the server speaks TLS: see the endpoint's scheme" if status == 400 and _WANTS_TLS.search(answer or b"") else ""
    )
