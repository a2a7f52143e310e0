"""What the rows of a batch are, made from protobuf objects in plain Python; and COPY data read back into Python."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from google.protobuf.message import Message

from sluiceway.exporters.timescaledb.columns import Column, Level, Op, Table
from sluiceway.otlp import Batch, Signal

__all__ = ["expected", "read_copy"]

EPOCH = 946_684_800_000_000
_INNER = {
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
}
Row = dict[str, Any]


class PoisonError(Exception):
    """PostgreSQL would refuse the row."""


def expected(
    batch: Batch, tables: tuple[Table, ...], low: int, high: int, now: int
) -> tuple[list[list[Row]], list[int]]:
    """For each table its rows, and the places of the items that have none."""
    rows: list[list[Row]] = [[] for _ in tables]
    left_out = []
    for place, (table, levels) in enumerate(_items(batch, tables)):
        try:
            rows[table].append(_Row(tables[table], levels, low, high, now).read())
        except PoisonError:
            left_out.append(place)
    return rows, left_out


def _items(batch: Batch, tables: tuple[Table, ...]) -> Iterator[tuple[int, dict[Level, Message]]]:
    entries, scopes, inner = _INNER[batch.signal]
    for entry in getattr(batch.proto(), entries):
        for scope in getattr(entry, scopes):
            levels = {
                Level.RESOURCE_ENTRY: entry,
                Level.RESOURCE: entry.resource,
                Level.SCOPE_ENTRY: scope,
                Level.SCOPE: scope.scope,
            }
            for item in getattr(scope, inner):
                if batch.signal is not Signal.METRICS:
                    yield 0, levels | {Level.ITEM: item}
                elif kind := item.WhichOneof("data"):
                    data = getattr(item, kind)
                    tag = item.DESCRIPTOR.fields_by_name[kind].number << 3 | 2
                    (table,) = [i for i, t in enumerate(tables) if t.tag == tag]
                    for point in data.data_points:
                        yield table, levels | {Level.METRIC: item, Level.DATA: data, Level.ITEM: point}


class _Row:
    def __init__(self, table: Table, levels: dict[Level, Message], low: int, high: int, now: int) -> None:
        self.table, self.levels = table, levels
        self.low, self.high, self.now = low, high, now
        self.overflow: dict[str, Any] = {}

    def read(self) -> Row:
        return {column.name: self.value(column) for column in self.table.columns}

    def value(self, column: Column) -> Any:
        message = self.levels[column.level]
        if column.within:
            message = getattr(message, _name(message, column.within))
        name, second = _name(message, column.number), "" if column.op is Op.QUANTILES else _name(message, column.second)
        found: Any = getattr(message, name) if name else None
        match column.op:
            case Op.TEXT:
                return _text(found) or None
            case Op.BYTEA:
                return found or None
            case Op.INT4 | Op.SINT4 | Op.UINT32 | Op.FLOAT8 | Op.BOOL:
                return found
            case Op.INT8 | Op.NANO:
                return None if column.op is Op.NANO and not found else self.fitting(column, found)
            case Op.OPTIONAL_FLOAT8:
                return found if message.HasField(name) else None
            case Op.TIME:
                return self.time(column, found or (getattr(message, second) if second else 0))
            case Op.DURATION:
                end = getattr(message, second)
                return self.fitting(column, end - found) if found and end else None
            case Op.VALUE | Op.INT_VALUE:
                kind = message.WhichOneof("value")
                if kind is None or (column.op is Op.INT_VALUE and kind != "as_int"):
                    return None
                return getattr(message, kind) if column.op is Op.INT_VALUE else float(getattr(message, kind))
            case Op.ATTRIBUTES:
                return _object(found) if found else None
            case Op.ATTRIBUTE:
                values = [pair.value for pair in found if pair.key == column.key][:1]
                return (
                    _text(values[0].string_value)
                    if values and values[0].WhichOneof("value") == "string_value"
                    else None
                )
            case Op.BODY_TEXT:
                return _text(found.string_value) if found.WhichOneof("value") == "string_value" else None
            case Op.BODY_JSON:
                return None if found.WhichOneof("value") in (None, "string_value") else _any(found)
            case Op.EVENTS | Op.LINKS | Op.EXEMPLARS:
                return [_MESSAGES[column.op](each) for each in found] if found else None
            case Op.INT8_ARRAY:
                return self.integers(column, list(found), message)
            case Op.FLOAT8_ARRAY:
                return list(found)
            case Op.QUANTILES:
                return [each.quantile if column.second == 1 else each.value for each in found]
        return list(self.overflow.items()) or None

    def fitting(self, column: Column, number: int) -> int | None:
        if -(2**63) < number < 2**63:
            return number
        self.overflow[column.name] = number
        return None

    def integers(self, column: Column, numbers: list[int], message: Message) -> list[int] | None:
        if any(number >= 2**63 for number in numbers):
            self.overflow[column.name] = numbers
            return None
        return numbers

    def time(self, column: Column, nanos: int) -> int:
        moved = min(max(nanos, self.low), self.high) if nanos else self.now
        if nanos and moved != nanos:
            self.overflow[column.name] = nanos
        return moved // 1000 - EPOCH


def _name(message: Message, number: int) -> str:
    return message.DESCRIPTOR.fields_by_number[number].name if number else ""


def _text(text: str) -> str:
    if "\0" in text:
        raise PoisonError
    return text


def _object(pairs: Any) -> list[tuple[str, Any]]:
    """A JSON object as its pairs, so that keys that come twice count."""
    return [(_text(pair.key), _any(pair.value)) for pair in pairs]


def _any(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return _text(value.string_value)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value":
        return _double(value.double_value)
    if kind == "array_value":
        return [_any(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return _object(value.kvlist_value.values)
    return getattr(value, kind) if kind in ("bool_value", "int_value") else None


def _double(number: float) -> Any:
    if math.isnan(number):
        return "NaN"
    return number if math.isfinite(number) else "Infinity" if number > 0 else "-Infinity"


def _event(event: Any) -> list[tuple[str, Any]]:
    return [
        ("time_unix_nano", event.time_unix_nano),
        ("name", _text(event.name)),
        ("attributes", _object(event.attributes)),
        ("dropped_attributes_count", event.dropped_attributes_count),
    ]


def _link(link: Any) -> list[tuple[str, Any]]:
    return [
        ("trace_id", link.trace_id.hex()),
        ("span_id", link.span_id.hex()),
        ("trace_state", _text(link.trace_state)),
        ("flags", link.flags),
        ("attributes", _object(link.attributes)),
        ("dropped_attributes_count", link.dropped_attributes_count),
    ]


def _exemplar(exemplar: Any) -> list[tuple[str, Any]]:
    kind = exemplar.WhichOneof("value")
    value = getattr(exemplar, kind) if kind else None
    return [("time_unix_nano", exemplar.time_unix_nano), ("value", _double(value) if kind == "as_double" else value),
            ("trace_id", exemplar.trace_id.hex()), ("span_id", exemplar.span_id.hex()),
            ("attributes", _object(exemplar.filtered_attributes))]  # fmt: skip


_MESSAGES: dict[Op, Callable[[Any], list[tuple[str, Any]]]] = {
    Op.EVENTS: _event,
    Op.LINKS: _link,
    Op.EXEMPLARS: _exemplar,
}


def read_copy(data: bytes, table: Table) -> list[Row]:
    """The rows in COPY data, with each value by its column's type."""
    assert data.startswith(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    at, rows = 19, []
    while (fields := struct.unpack_from(">h", data, at)[0]) != -1:
        assert fields == len(table.columns)
        at += 2
        row: Row = {}
        for column in table.columns:
            (size,) = struct.unpack_from(">i", data, at)
            at += 4
            row[column.name] = (
                None if size < 0 else _READERS[column.sql.split()[0] + column.sql[-2:]](data[at : at + size])
            )
            at += max(size, 0)
        rows.append(row)
    assert at + 2 == len(data)
    return rows


def _unpack(form: str) -> Callable[[bytes], Any]:
    return lambda raw: struct.unpack(form, raw)[0]


def _jsonb(raw: bytes) -> Any:
    assert raw[0] == 1
    return json.loads(raw[1:], object_pairs_hook=list, parse_float=lambda text: float(Decimal(text)))


def _array(form: str, oid: int) -> Callable[[bytes], list[Any]]:
    def read(raw: bytes) -> list[Any]:
        dimensions, nulls, kind = struct.unpack_from(">iii", raw)
        assert (nulls, kind) == (0, oid)
        if not dimensions:
            assert len(raw) == 12
            return []
        size, bound = struct.unpack_from(">ii", raw, 12)
        assert (dimensions, bound, len(raw)) == (1, 1, 20 + 12 * size)
        return [struct.unpack_from(form, raw, 24 + 12 * i)[0] for i in range(size)]

    return read


_READERS: dict[str, Callable[[bytes], Any]] = {
    "textxt": bytes.decode, "byteaea": bytes, "integerer": _unpack(">i"), "bigintnt": _unpack(">q"),
    "doubleon": _unpack(">d"), "booleanan": _unpack(">?"), "timestamptzLL": _unpack(">q"), "jsonbnb": _jsonb,
    "bigint[][]": _array(">q", 20), "double[]": _array(">d", 701),
}  # fmt: skip
