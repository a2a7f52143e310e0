"""What a target shows, in any of its formats: metadata by name, and series with their labels.

A series is known by its key: in text formats the bytes in front of its value, in protobuf its labels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Final, NamedTuple, TypeAlias

from sluiceway.receivers.prometheus._series import number

__all__ = ["TYPES", "Exemplar", "ExpositionError", "Key", "Labels", "Line", "Metadata", "labels_of", "read_line"]

Labels: TypeAlias = dict[str, str]
"""Label values by name; `__name__` is the metric."""
Key: TypeAlias = "bytes | tuple[tuple[tuple[str, str], ...], bool]"
"""What a series is known by; in protobuf its labels, and whether it is a native histogram."""

TYPES: Final = frozenset(
    {"counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown", "untyped"}
)

_NAME: Final = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*+")
_BRACE: Final = re.compile(rb"[ \t]*+\{[ \t]*+")
_PAIR: Final = re.compile(
    rb'(?:"((?:[^"\\]|\\.)*+)"|([a-zA-Z_][a-zA-Z0-9_]*+))[ \t]*+(?:=[ \t]*+"((?:[^"\\]|\\.)*+)"[ \t]*+)?(,[ \t]*+)?'
)
_ESCAPE: Final = re.compile(rb'\\[\\n"]')
_ESCAPED: Final = {b"\\\\": b"\\", b"\\n": b"\n", b'\\"': b'"'}


class ExpositionError(ValueError):
    """What a target shows cannot be read."""


@dataclass(slots=True)
class Metadata:
    """What is said of a metric."""

    type: str = "unknown"
    help: str = ""
    unit: str = ""
    lines: dict[str, bytes] = field(default_factory=dict)
    """The lines that said so, by their word (`TYPE`)."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One measurement behind a sample; `time` is nanoseconds, None where it has none."""

    labels: Mapping[str, str]
    value: float
    time: int | None = None


class Line(NamedTuple):
    """One sample: the key of its series, its value, its time in nanoseconds, and its exemplar."""

    key: bytes
    value: float
    time: int | None = None
    exemplar: Exemplar | None = None


def labels_of(key: Key) -> Labels:
    """The labels of a series. Raises `ExpositionError` where its text cannot be read."""
    if isinstance(key, tuple):
        return dict(key[0])
    labels, end = _series(key, 0)
    if end != len(key):
        raise ExpositionError(f"cannot read the series {_shown(key)}")
    return labels


def read_line(line: bytes, *, openmetrics: bool) -> Line | None:
    """Read a line that is a sample, with its time and exemplar; None for one that is blank."""
    text = line if openmetrics else line.strip(b" \t")
    if not text and not openmetrics:
        return None
    _, end = _series(text, 0)
    rest = text[end:]
    exemplar = None
    if openmetrics and b"#" in rest:
        rest, _, shown = rest.partition(b" # ")
        exemplar = _exemplar(shown, line)
    words = rest.split()
    if not 1 <= len(words) <= 2 or rest[:1] not in (b" ", b"\t", words[0][:1]) or any(c in rest for c in b"\r\v\f"):
        raise ExpositionError(f"expected a value after the series in {_shown(line)}")
    time = None
    if len(words) == 2:
        time = _seconds(words[1], line) if openmetrics else _milliseconds(words[1], line)
    return Line(text[:end], _value(words[0], line), time, exemplar)


def _series(text: bytes, at: int) -> tuple[Labels, int]:
    """The labels of the series that begins at a place, and where it ends."""
    labels: Labels = {}
    name = _NAME.match(text, at)
    if name is not None:
        labels["__name__"] = intern(name[0].decode())
        at = name.end()
    if (brace := _BRACE.match(text, at)) is not None:
        at = _pairs(text, brace.end(), labels)
    if "__name__" not in labels:
        raise ExpositionError(f"there is no name in {_shown(text)}")
    return labels, at


def _pairs(text: bytes, at: int, labels: Labels) -> int:
    """Read labels up to and with the closing brace."""
    while text[at : at + 1] != b"}":
        pair = _PAIR.match(text, at)
        if pair is None:
            raise ExpositionError(f"cannot read the labels of {_shown(text)}")
        quoted, plain, value, comma = pair.groups()
        name = _decode(quoted, text) if quoted is not None else plain.decode()
        if value is None:
            if quoted is None or "__name__" in labels:
                raise ExpositionError(f"the label {name[:100]} has no value in {_shown(text)}")
            name, content = "__name__", name
        else:
            content = _decode(value, text)
        if name in labels:
            raise ExpositionError(f'label name "{name[:100]}" is not unique: invalid sample')
        labels[intern(name)] = intern(content)
        at = pair.end()
        if comma is None and text[at : at + 1] != b"}":
            raise ExpositionError(f"cannot read the labels of {_shown(text)}")
    return at + 1


def _decode(content: bytes, text: bytes) -> str:
    if b"\\" in content:
        content = _ESCAPE.sub(lambda found: _ESCAPED[found[0]], content)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ExpositionError(f"invalid UTF-8 label value in {_shown(text)}") from None


def _exemplar(shown: bytes, line: bytes) -> Exemplar:
    labels: Labels = {}
    if shown[:1] != b"{":
        raise ExpositionError(f"cannot read the exemplar of {_shown(line)}")
    end = _pairs(shown, 1, labels)
    words = shown[end:].split()
    if not 1 <= len(words) <= 2:
        raise ExpositionError(f"cannot read the exemplar of {_shown(line)}")
    return Exemplar(labels, _value(words[0], line), _seconds(words[1], line) if len(words) == 2 else None)


def _value(word: bytes, line: bytes) -> float:
    try:
        return number(word)
    except ValueError:
        raise ExpositionError(f"{_shown(word)} is not a number in {_shown(line)}") from None


def _seconds(word: bytes, line: bytes) -> int:
    seconds = _value(word, line)
    if not abs(seconds) < 9e9:
        raise ExpositionError(f"{_shown(word)} is not a time in {_shown(line)}")
    return max(int(seconds * 1000) * 1_000_000, 0)


def _milliseconds(word: bytes, line: bytes) -> int:
    digits = word[1:] if word[:1] in b"+-" else word
    if not digits.isdigit() or len(digits) > 13:
        raise ExpositionError(f"{_shown(word)} is not a time in {_shown(line)}")
    return max(int(word) * 1_000_000, 0)


def _shown(text: bytes) -> str:
    """A text of a stranger, fit for a log: short, and without control characters."""
    return ascii(text[:120].decode(errors="replace"))
