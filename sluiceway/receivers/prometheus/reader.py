"""Reads a whole body in any format: what its comments say, and its samples."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from sluiceway.receivers.prometheus import protobuf
from sluiceway.receivers.prometheus._series import Reading, Series, read
from sluiceway.receivers.prometheus.exposition import (
    TYPES,
    ExpositionError,
    Key,
    Metadata,
    labels_of,
    read_line,
)

__all__ = ["Format", "Reader"]


class Format(Enum):
    """How a body is to be read."""

    TEXT = "text"
    OPENMETRICS = "openmetrics"
    PROTOBUF = "protobuf"


class Reader:
    """Reads the bodies of one target. What it said before of its metrics holds until it says otherwise."""

    def __init__(self, describe: Callable[[str, str, str], None] | None = None) -> None:
        self.metadata: dict[str, Metadata] = {}
        self._describe = describe or self._note
        self._comments: dict[tuple[bytes, bytes], bytes] = {}
        self.named: set[str] | None = None
        """The metrics that comments spoke of since `refresh`."""

    def refresh(self) -> None:
        """Have the next body say everything anew, and `named` tell afterwards of what it did."""
        self._comments.clear()
        self.named = set()

    def read(
        self, body: bytes, format: Format, reading: Reading, known: dict[Any, Series | None],
        admit: Callable[[Key, bool], Series | None],
    ) -> None:  # fmt: skip
        """Take a body into `reading`. `known` has the series by their keys, and `admit` makes those that are missing.

        Raises `ExpositionError` where the body cannot be read, and what `admit` raises.
        """
        if format is Format.PROTOBUF:
            self._read_protobuf(body, reading, known, admit)
            return
        openmetrics = format is Format.OPENMETRICS

        def series_of(key: bytes) -> Series | None:
            return admit(key, False)

        def careful(line: bytes) -> None:
            if not openmetrics and line.lstrip(b" \t").startswith(b"#"):
                self._comment(line.lstrip(b" \t"))
                return
            sample = read_line(line, openmetrics=openmetrics)
            if sample is not None:
                key = sample.key
                series = known[key] if key in known else admit(key, False)
                reading.take(series, sample.value, sample.time, sample.exemplar)

        def comment(line: bytes) -> bool:
            if openmetrics and line == b"# EOF":
                return True
            self._comment(line, strict=openmetrics)
            return False

        end = read(body, reading, known, series_of, comment, careful, openmetrics)
        if openmetrics:
            if body[end - 5 : end] != b"# EOF":
                raise ExpositionError("data does not end with # EOF")
            if body[end:] not in (b"", b"\n"):
                raise ExpositionError("unexpected data after # EOF")

    def read_samples(self, body: bytes, format: Format, take: Callable[..., None]) -> None:
        """Hand each sample of a body to `take(labels, value, time, exemplar, native)`."""
        reading, labels = Reading(1, 0, True), {}
        known: dict[Any, Series | None] = {}
        order: list[tuple[Series, Any]] = []

        def admit(key: Key, _native: bool) -> Series:
            series = known[key] = Series()
            labels[key] = labels_of(key)
            order.append((series, key))
            return series

        self.read(body, format, reading, known, admit)
        for series, key in order:
            time = series.time if series.timed else None
            take(labels[key], series.value, time, series.exemplar, series.native)

    def family(self, name: str) -> str:
        """The family that a sample belongs to."""
        if name not in self.metadata:
            for suffix in ("_bucket", "_count", "_sum", "_total", "_info", "_created", "_gcount", "_gsum"):
                if name.endswith(suffix) and name.removesuffix(suffix) in self.metadata:
                    return name.removesuffix(suffix)
        return name

    def _read_protobuf(self, body: bytes, reading: Reading, known: dict[Any, Series | None], admit: Any) -> None:
        try:
            self._read_families(body, reading, known, admit)
        except UnicodeDecodeError:
            raise ExpositionError("invalid UTF-8 in the protobuf format") from None

    def _read_families(self, body: bytes, reading: Reading, known: dict[Any, Series | None], admit: Any) -> None:
        for family in protobuf.families(body):
            self._say("TYPE", family.name, protobuf.kind_of(family))
            self._say("HELP", family.name, family.help)
            self._say("UNIT", family.name, family.unit)
            for sample in protobuf.samples(family):
                native = sample.native is not None
                key = (sample.key, native)
                series = known[key] if key in known else admit(key, native)
                reading.take(series, sample.value, sample.time, sample.exemplar, sample.native)
                if not sample.counted:
                    reading.scraped -= 1

    def _comment(self, line: bytes, *, strict: bool = False) -> None:
        """Note what a comment says, unless it said so the last time."""
        words = line[1:].strip().split(None, 2)
        if len(words) < 2 or words[0] not in (b"TYPE", b"HELP", b"UNIT"):
            if strict:
                raise ExpositionError(f"cannot read the line {line[:120]!a}")
            return
        word, name = words[0], words[1]
        if self._comments.get((word, name)) == line:
            return
        text = (words[2] if len(words) > 2 else b"").decode(errors="replace")
        if word == b"TYPE" and text not in TYPES:
            raise ExpositionError(f"invalid metric type {ascii(text)[:60]}")
        if word == b"HELP" and "\\" in text:
            text = text.replace("\\\\", "\0").replace("\\n", "\n").replace('\\"', '"').replace("\0", "\\")
        self._say(word.decode(), _unquoted(name), text)
        self._comments[word, name] = line

    def _say(self, word: str, name: str, text: str) -> None:
        if self.named is not None:
            self.named.add(name)
        self._describe(word, name, text)

    def _note(self, word: str, name: str, text: str) -> None:
        setattr(
            self.metadata.setdefault(name, Metadata()), {"TYPE": "type", "HELP": "help", "UNIT": "unit"}[word], text
        )


def _unquoted(name: bytes) -> str:
    text = name.decode(errors="replace")
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\") if text[:1] == '"' == text[-1:] else text
