"""Cross-origin requests: what a browser is told before and after a web page sends telemetry."""

from __future__ import annotations

import re
from typing import Final

from sluiceway.config.server import Cors
from sluiceway.receivers.otlp.head import Head
from sluiceway.receivers.otlp.response import Response

__all__ = ["CrossOrigin"]

_SAFE: Final = frozenset({"accept", "accept-language", "content-language", "content-type"})
_HARMLESS_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class CrossOrigin:
    """Answers preflight requests and gives the headers that let a page read its answer."""

    def __init__(self, settings: Cors) -> None:
        self._any = "*" in settings.allowed_origins
        self._origins = [_pattern(origin) for origin in settings.allowed_origins]
        self._names = {name.lower() for name in settings.allowed_headers} | _SAFE
        self._exposed = ", ".join(settings.exposed_headers)
        self._max_age = settings.max_age

    def preflight(self, head: Head) -> Response | None:
        """Answer the question of a browser whether a page may send; None when the request is no such question."""
        if head.method != "OPTIONS" or not (head.value(b"origin") and head.value(b"access-control-request-method")):
            return None
        vary = ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
        asked = head.value(b"access-control-request-headers")
        names = [name.strip() for name in asked.split(",") if name.strip()]
        allowed = self._allowed(head)
        if not allowed or head.value(b"access-control-request-method") != "POST" or not all(map(self._permits, names)):
            return Response(204, headers=(vary,))
        headers = [vary, *allowed, ("Access-Control-Allow-Methods", "POST")]
        if names:
            headers.append(("Access-Control-Allow-Headers", ", ".join(names)))
        if self._max_age:
            headers.append(("Access-Control-Max-Age", str(self._max_age)))
        return Response(204, headers=tuple(headers))

    def headers(self, head: Head) -> tuple[tuple[str, str], ...]:
        """Give the headers for the answer to an actual request; the page cannot read it without them."""
        allowed = self._allowed(head)
        if allowed and self._exposed:
            allowed = (*allowed, ("Access-Control-Expose-Headers", self._exposed))
        return (("Vary", "Origin"), *allowed)

    def _allowed(self, head: Head) -> tuple[tuple[str, str], ...]:
        origin = head.value(b"origin")
        if not origin or not (self._any or any(pattern.fullmatch(origin.lower()) for pattern in self._origins)):
            return ()
        return (
            ("Access-Control-Allow-Origin", "*" if self._any else origin),
            ("Access-Control-Allow-Credentials", "true"),
        )

    def _permits(self, name: str) -> bool:
        return bool(_HARMLESS_NAME.fullmatch(name)) and ("*" in self._names or name.lower() in self._names)


def _pattern(origin: str) -> re.Pattern[str]:
    # One star, as in the Collector; text around it is literal, so matching is linear.
    first, star, last = origin.lower().partition("*")
    return re.compile(re.escape(first) + (".*" if star else "") + re.escape(last))
