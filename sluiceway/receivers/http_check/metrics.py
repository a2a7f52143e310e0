"""The metrics of `http_check`. Names, units and what is on are the Collector's; those marked as ours it lacks."""

from __future__ import annotations

from typing import Final

from sluiceway.scraping import Metric, gauge, updowncounter

__all__ = ["CERTIFICATE", "DURATION", "ERROR", "FAILED", "METRICS", "PASSED", "PHASES", "SIZE", "STATUS"]

TOLD_APART: Final = ("http.method", "graphql.operation.name", "httpcheck.target.name")
"""Ours: these stand beside `http.url` where checks of one URL could not be told apart without them."""
_TARGET: Final = ("http.url", *TOLD_APART)

STATUS: Final = updowncounter(
    "httpcheck.status",
    "1",
    "1 if the check resulted in status_code matching the status_class, otherwise 0.",
    "http.status_code",
    "http.status_class",
    *_TARGET,
)
DURATION: Final = gauge("httpcheck.duration", "ms", "Measures the duration of the HTTP check.", *_TARGET)
ERROR: Final = updowncounter(
    "httpcheck.error", "{error}", "Records errors occurring during HTTP check.", "error.message", *_TARGET
)
PHASES: Final[dict[str, Metric]] = {
    "dns": gauge(
        "httpcheck.dns.lookup.duration", "ms", "Time spent performing DNS lookup for the endpoint.", *_TARGET, on=False
    ),
    "connect": gauge(
        "httpcheck.client.connection.duration",
        "ms",
        "Time spent establishing TCP connection to the endpoint.",
        "network.transport",
        *_TARGET,
        on=False,
    ),
    "tls": gauge(
        "httpcheck.tls.handshake.duration",
        "ms",
        "Time spent performing TLS handshake with the endpoint.",
        *_TARGET,
        on=False,
    ),
    "request": gauge(
        "httpcheck.client.request.duration",
        "ms",
        "Time spent sending the HTTP request to the endpoint.",
        *_TARGET,
        on=False,
    ),
    "first byte": gauge(
        "httpcheck.response.wait.duration",
        "ms",
        "Time from the request having been sent to the first byte of the response. Ours.",
        *_TARGET,
        on=False,
    ),
    "response": gauge(
        "httpcheck.response.duration",
        "ms",
        "Time spent receiving the HTTP response from the endpoint.",
        *_TARGET,
        on=False,
    ),
}
SIZE: Final = gauge("httpcheck.response.size", "By", "Size of response body in bytes.", *_TARGET, on=False)
CERTIFICATE: Final = gauge(
    "httpcheck.tls.cert_remaining",
    "s",
    "Time in seconds until the certificate expires, by its NotAfter; negative values are seconds since then.",
    "http.tls.issuer",
    "http.tls.cn",
    "http.tls.san",
    *_TARGET,
    on=False,
)
PASSED: Final = updowncounter(
    "httpcheck.validation.passed",
    "{validation}",
    "Number of response validations that passed.",
    "validation.type",
    *_TARGET,
    on=False,
)
FAILED: Final = updowncounter(
    "httpcheck.validation.failed",
    "{validation}",
    "Number of response validations that failed.",
    "validation.type",
    *_TARGET,
    on=False,
)
METRICS: Final = (STATUS, DURATION, ERROR, *PHASES.values(), SIZE, CERTIFICATE, PASSED, FAILED)
