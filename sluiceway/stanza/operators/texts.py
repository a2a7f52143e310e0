"""`csv_parser`, `key_value_parser` and `uri_parser`: texts of fields side by side."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any, Final, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import model_validator

from sluiceway.config.settings import mistake
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.fields import MISSING, field
from sluiceway.stanza.operators.operator import Step
from sluiceway.stanza.operators.parser import Parse, Parser, text, then

__all__ = ["CsvParser", "KeyValueParser", "UriParser"]

_MAX_FIELDS: Final = 10_000


class CsvParser(Parser):
    """A line of CSV becomes a map by the names of a header."""

    type: Literal["csv_parser"]
    """Which operator it is."""
    header: str = ""
    """The names, with delimiters between them. Exactly one of `header` and `header_attribute` is needed."""
    header_attribute: str = ""
    """The attribute that holds such a header."""
    delimiter: str = ","
    """One character."""
    header_delimiter: str = ""
    """The delimiter of the header, where it is another one."""
    lazy_quotes: bool = False
    """Whether a quotation mark may stand inside of a field."""
    ignore_quotes: bool = False
    """Whether quotation marks mean nothing."""

    @model_validator(mode="after")
    def _check(self) -> CsvParser:
        if bool(self.header) is bool(self.header_attribute):
            raise mistake("missing required field 'header' or 'header_attribute': exactly one is needed")
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise mistake("delimiter must be a single character, and no quotation mark", "delimiter")
        if self.lazy_quotes and self.ignore_quotes:
            raise mistake("only one of 'ignore_quotes' or 'lazy_quotes' can be true", "lazy_quotes")
        return self

    def step(self) -> Step:
        """Read a line, and put it by the names of the header."""
        get, put = field(self.parse_from).get, field(self.parse_to).set
        between = self.header_delimiter or self.delimiter
        fixed = self.header.split(between) if self.header else None
        attribute, read = self.header_attribute, self.parse()

        def step(entry: Entry) -> None:
            names = fixed
            if names is None:
                header = entry.attributes.get(attribute)
                if not isinstance(header, str):
                    raise ValueError(f"failed to read dynamic header attribute {attribute}")
                names = header.split(between)
            value = get(entry)
            if value is MISSING:
                raise ValueError("log entry does not have the expected parse_from field")
            values = read(value)
            if len(values) != len(names):
                raise ValueError(f"wrong number of fields: expected {len(names)}, found {len(values)}")
            put(entry, dict(zip(names, values, strict=True)))

        return then(step, self.blocks())

    def parse(self) -> Parse:
        """Read the fields of a line."""
        strict = not self.lazy_quotes and not self.ignore_quotes
        delimiter, ignored = self.delimiter, self.ignore_quotes

        def parse(value: Any) -> list[str]:
            line = text(value, "CSV")
            if not line:
                raise ValueError("no csv lines found")
            if ignored:
                return line.split(delimiter)
            try:
                return next(csv.reader([line], delimiter=delimiter, strict=strict))
            except (csv.Error, StopIteration) as error:
                raise ValueError(f"cannot read CSV: {error}") from None

        return parse


class KeyValueParser(Parser):
    """A text of `key=value` pairs becomes a map; quotation marks hold a value together."""

    type: Literal["key_value_parser"]
    """Which operator it is."""
    delimiter: str = "="
    """What stands between key and value."""
    pair_delimiter: str = ""
    """What stands between pairs; white space where it is empty."""

    @model_validator(mode="after")
    def _check(self) -> KeyValueParser:
        if not self.delimiter:
            raise mistake("delimiter is a required parameter", "delimiter")
        if self.delimiter == self.pair_delimiter:
            raise mistake("delimiter and pair_delimiter cannot be the same value", "pair_delimiter")
        return self

    def parse(self) -> Parse:
        """Read the pairs."""
        delimiter = self.delimiter
        between = re.escape(self.pair_delimiter) or r"\s"
        stops = re.compile(rf"[\"']|{between}")

        def parse(value: Any) -> dict[str, str]:
            line = text(value, "key value pairs")
            if not line:
                raise ValueError(f"parse from field {self.parse_from} is empty")
            found: dict[str, str] = {}
            for pair in _pairs(line, stops):
                key, sign, content = pair.partition(delimiter)
                if not sign:
                    raise ValueError(f"cannot split {pair[:100]!r} into 2 items, got 1 item(s)")
                found[key.strip().strip("\"'")] = content.strip().strip("\"'")
            return found

        return parse


def _pairs(line: str, stops: re.Pattern[str]) -> Iterator[str]:
    """Cut at the delimiters that stand in no quotation marks; `stops` finds both."""
    begin = at = 0
    while (stop := stops.search(line, at)) is not None:
        at = stop.end()
        if stop[0] in ("'", '"'):
            at = line.find(stop[0], at) + 1
            if not at:
                raise ValueError("unclosed quote")
            continue
        if line[begin : stop.start()].strip():
            yield line[begin : stop.start()]
        begin = at
    if line[begin:].strip():
        yield line[begin:]


class UriParser(Parser):
    """An URI becomes its parts: scheme, user, host, port, path, and query as a map of lists."""

    type: Literal["uri_parser"]
    """Which operator it is."""

    def parse(self) -> Parse:
        """Read an URI, or a query that begins with `?`."""
        return _uri


def _uri(value: Any) -> dict[str, Any]:
    line = text(value, "URI")
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in line):
        raise ValueError("invalid control character in URL")
    if line.startswith("?"):
        return {"query": _query(line[1:])}
    parts = urlsplit(line)
    if not parts.scheme and not line.startswith("/"):
        raise ValueError("invalid URI for request")
    user = unquote(parts.username) if parts.username is not None else ""
    port = parts.port
    named = {
        "scheme": parts.scheme,
        "user": user,
        "host": parts.hostname or "",
        "port": "" if port is None else str(port),
        "path": unquote(parts.path),
    }
    found: dict[str, Any] = {name: part for name, part in named.items() if part}
    if parts.query:
        found["query"] = _query(parts.query)
    return found


def _query(query: str) -> dict[str, Any]:
    return dict(parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS))
