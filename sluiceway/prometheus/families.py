"""Families of series: what stands above them in each format, and which names they take up.

The formats: https://prometheus.io/docs/instrumenting/exposition_formats/, OpenMetrics 1.0.0, and the message
`io.prometheus.client.MetricFamily` of https://github.com/prometheus/client_model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from sluiceway.otlp.anyvalue import sized, varint
from sluiceway.prometheus.naming import is_legacy, without_utf8

__all__ = ["Family", "Format", "Head", "Type"]


class Format(IntEnum):
    """How a page is written."""

    TEXT = 0
    OPENMETRICS = 1
    PROTOBUF = 2

    @property
    def content_type(self) -> str:
        """The content type, without what is said of escaping."""
        return _CONTENT_TYPES[self]


_CONTENT_TYPES: Final = {
    Format.TEXT: "text/plain; version=0.0.4; charset=utf-8",
    Format.OPENMETRICS: "application/openmetrics-text; version=1.0.0; charset=utf-8",
    Format.PROTOBUF: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
}


class Type(Enum):
    """The type of a family: its word in text, and its number in protobuf."""

    COUNTER = ("counter", 0)
    GAUGE = ("gauge", 1)
    SUMMARY = ("summary", 2)
    UNKNOWN = ("unknown", 3)
    HISTOGRAM = ("histogram", 4)
    INFO = ("info", 1)


_SUFFIXES: Final = {Type.HISTOGRAM: ("", "_bucket", "_sum", "_count"), Type.SUMMARY: ("", "_sum", "_count")}
_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_QUOTED: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Head(NamedTuple):
    """What a page needs of a family: what stands above its samples, and what they are called.

    `created` is the name of the sample that says when a series began, empty where there is none. `quoted` says that
    names stand in quotes, among the labels, and `typed` that the type may be relied on, so that there may be exemplars.
    """

    text: bytes
    name: bytes
    created: bytes
    quoted: bool
    typed: bool


@dataclass(frozen=True, slots=True)
class Family:
    """All series of one name, which is that of a counter's samples, with `_total` where it has that."""

    name: str
    type: Type
    help: str
    unit: str

    @property
    def claimed(self) -> tuple[str, ...]:
        """The names of its samples, and its own."""
        return tuple(self.name + suffix for suffix in _SUFFIXES.get(self.type, ("",)))

    def head(self, format: Format, claims: Mapping[str, Family], *, utf8: bool) -> Head | None:
        """What stands above the samples; without `utf8` the name is written by Prometheus' old rules.

        None where the format has no way to show the family beside others.
        """
        shown = self.name if utf8 else without_utf8(self.name)
        quoted = not is_legacy(shown)
        match format:
            case Format.TEXT:
                word = {Type.INFO: "gauge", Type.UNKNOWN: "untyped"}.get(self.type, self.type.value[0])
                name = f'"{shown.translate(_QUOTED)}"' if quoted else shown
                text = f"# HELP {name} {self.help.translate(_HELP)}\n" if self.help else ""
                return Head(f"{text}# TYPE {name} {word}\n".encode(), shown.encode(), b"", quoted, False)
            case Format.OPENMETRICS:
                return self._open_metrics(shown, claims, quoted=quoted)
            case Format.PROTOBUF:
                texts = sized(0x0A, shown.encode()) + (sized(0x12, self.help.encode()) if self.help else b"")
                return Head(texts + b"\x18" + varint(self.type.value[1]), shown.encode(), b"", quoted, True)

    def _open_metrics(self, shown: str, claims: Mapping[str, Family], *, quoted: bool) -> Head | None:
        """OpenMetrics' own rules: a counter's family has no `_total`, its samples must, and a unit ends the name.

        A counter for which that is not so is shown as of unknown type: its name is the same in all formats. The name
        that says when another one began is nobody else's: a counter gives way to it, a family that has it is left out.
        """
        base, word = shown, self.type.value[0]
        ending = {Type.COUNTER: "_total", Type.INFO: "_info"}.get(self.type, "")
        if ending:
            base = shown.removesuffix(ending)
            if base == shown or not _is_free(self.name.removesuffix(ending), self.name, claims):
                base, word = shown, "unknown"
        if base == shown and _says_when(self.name, claims):
            return None
        name = f'"{base.translate(_QUOTED)}"' if quoted else base
        text = f"# TYPE {name} {word}\n"
        if self.unit and base.endswith(f"_{self.unit}"):
            text += f"# UNIT {name} {self.unit}\n"
        if self.help:
            text += f"# HELP {name} {self.help.translate(_QUOTED)}\n"
        created = f"{base}_created" if word in ("counter", "histogram", "summary") else ""
        return Head(text.encode(), shown.encode(), created.encode(), quoted, word != "unknown")


def _is_free(base: str, shown: str, claims: Mapping[str, Family]) -> bool:
    """Whether the family whose samples are called `shown` may go by the shorter name `base`."""
    counter = f"{base.removesuffix('_created')}_total"
    taken = base in claims or f"{base}_created" in claims or _says_when(base, claims)
    return bool(base) and not taken and (counter == shown or counter not in claims)


def _says_when(name: str, claims: Mapping[str, Family]) -> bool:
    """Whether this is the name of the sample that says when a histogram or summary began."""
    other = claims.get(name.removesuffix("_created")) if name.endswith("_created") else None
    return other is not None and other.type in _SUFFIXES and other.name == name.removesuffix("_created")
