"""Which format a scraper gets: the one that it likes best among those that are spoken here.

https://prometheus.io/docs/instrumenting/content_negotiation/
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from sluiceway.prometheus.families import Format

__all__ = ["Choice", "choose", "choose_coding"]

LONGEST: Final = 2048
"""Characters of a header that are looked at."""
_TEXT: Final = frozenset({"text/plain", "text/*", "*/*"})
_OPENMETRICS: Final = "application/openmetrics-text"
_PROTOBUF: Final = "application/vnd.google.protobuf"


class Choice(NamedTuple):
    """A format, whether names may be any UTF-8, and the content type that says both."""

    format: Format
    utf8: bool
    content_type: str


def choose(accept: str, *, open_metrics: bool) -> Choice:
    """Choose by an `Accept` header; text where it says nothing, or nothing that is spoken here.

    Of what is liked equally well the first counts. OpenMetrics is spoken where `open_metrics` says so.
    """
    best, found = 0.0, Choice(Format.TEXT, False, Format.TEXT.content_type)
    for kind, parameters in _elements(accept):
        weight = _weight(parameters)
        format = _format(kind, parameters, open_metrics=open_metrics)
        if format is not None and weight > best:
            best, found = weight, _choice(format, parameters)
    return found


def choose_coding(header: str) -> Literal["gzip", "identity"] | None:
    """Choose by an `Accept-Encoding` header; None where it takes neither coding (RFC 9110, 12.5.3).

    Without gzip is what it is when nothing is said, unless the header excludes that.
    """
    weights = {kind.removeprefix("x-"): _weight(parameters) for kind, parameters in _elements(header)}
    others = weights.get("*", 0.0)
    gzip = weights.get("gzip", others)
    identity = weights.get("identity", others if "*" in weights else None)
    if gzip > 0 and gzip >= (identity or 0.0):
        return "gzip"
    return None if identity == 0 else "identity"


def _choice(format: Format, parameters: dict[str, str]) -> Choice:
    utf8 = parameters.get("escaping") == "allow-utf-8"
    content_type = format.content_type
    if format is Format.TEXT and parameters.get("version") == "1.0.0":
        content_type = content_type.replace("0.0.4", "1.0.0")
    if "escaping" in parameters:
        content_type += f"; escaping={'allow-utf-8' if utf8 else 'underscores'}"
    return Choice(format, utf8, content_type)


def _format(kind: str, parameters: dict[str, str], *, open_metrics: bool) -> Format | None:
    if kind in _TEXT and parameters.get("version", "0.0.4") in ("0.0.4", "1.0.0"):
        return Format.TEXT
    if kind == _OPENMETRICS and open_metrics and parameters.get("version", "1.0.0") in ("0.0.1", "1.0.0"):
        return Format.OPENMETRICS
    is_families = parameters.get("proto") == "io.prometheus.client.MetricFamily"
    if kind == _PROTOBUF and is_families and parameters.get("encoding") == "delimited":
        return Format.PROTOBUF
    return None


def _elements(header: str) -> list[tuple[str, dict[str, str]]]:
    """The elements of a header's list, each with its parameters."""
    found = []
    for element in header[:LONGEST].split(","):
        kind, *rest = (part.strip() for part in element.split(";"))
        pairs = (part.partition("=") for part in rest)
        found.append((kind.lower(), {name.strip().lower(): value.strip(' "') for name, _, value in pairs}))
    return found


def _weight(parameters: dict[str, str]) -> float:
    try:
        weight = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
