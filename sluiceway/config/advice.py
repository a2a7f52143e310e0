"""What to look at when a client's TLS fails, by the words of OpenSSL and BoringSSL, however they are spelt."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["tls_advice"]

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


def tls_advice(words: str, name: str) -> str:
    """What may be wrong and which key to look at, when a handshake with the server `name` fails; empty if unknown."""
    return next((text.format(name=name) for pattern, text in _ADVICE if pattern.search(words)), "")
