"""The fields that conditions may ask about, where they stand in OTLP's messages, and what values they read as.

A field is called by its message and its name, as OTTL has them (`span.name`). A name whose places differ from one kind
of data point to another reads as nothing where the point at hand has no such field.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from sluiceway.otlp.levels import Level

__all__ = ["FIELDS", "Field", "Form", "Message", "Place"]


class Message(IntEnum):
    """The messages that have fields to ask about."""

    RESOURCE = 0
    SCOPE = 1
    SPAN = 2
    LOG = 3
    METRIC = 4
    NUMBER = 5
    HISTOGRAM = 6
    EXPONENTIAL_HISTOGRAM = 7
    SUMMARY = 8
    EVENT = 9


class Form(IntEnum):
    """How what stands in a field is read."""

    WHOLE = 0  # an integer
    ZIGZAG = 1
    REAL = 2
    TRUTH = 3
    TEXT = 4
    TRACE_ID = 5
    SPAN_ID = 6
    TRACE_ID_HEX = 7
    SPAN_ID_HEX = 8
    ANY = 9  # an `AnyValue`
    ANY_TEXT = 10  # the text of one
    KIND_TEXT = 11  # of a span: `Server`
    KIND_NAME = 12  # of a span: `SPAN_KIND_SERVER`
    METRIC_TYPE = 13
    POINT_INTEGER = 14  # the value of a number data point, where it is one; else zero
    POINT_REAL = 15
    MEMBER_WHOLE = 16  # an integer of a metric's data; nothing where its data is of another type
    MEMBER_TRUTH = 17


@dataclass(frozen=True, slots=True)
class Place:
    """A tag in a message, or one in the message that stands there (`inner`)."""

    message: Message
    tag: int
    inner: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    """A field: whose it is, how it is read, and its place in every message that has it."""

    level: Level
    form: Form
    places: tuple[Place, ...]


def _of(level: Level, message: Message, **fields: tuple[int, Form]) -> dict[str, Field]:
    return {name: Field(level, form, (Place(message, tag),)) for name, (tag, form) in fields.items()}


def _points(form: Form, *places: tuple[Message, int]) -> Field:
    return Field(Level.ITEM, form, tuple(Place(message, tag) for message, tag in places))


def _data(form: Form, inner: int, *tags: int) -> Field:
    return Field(Level.METRIC, form, tuple(Place(Message.METRIC, tag, inner) for tag in tags))


_NUMBER, _HISTOGRAM, _SUMMARY = Message.NUMBER, Message.HISTOGRAM, Message.SUMMARY
_EXPONENTIAL = Message.EXPONENTIAL_HISTOGRAM
_EVERY: Final = (_NUMBER, _HISTOGRAM, _EXPONENTIAL, _SUMMARY)
_DISTRIBUTIONS: Final = (_HISTOGRAM, _EXPONENTIAL, _SUMMARY)
_GAUGE, _SUM, _HISTOGRAMS = 0x2A, 0x3A, (0x4A, 0x52)
_SUMMARIES = 0x5A

_SPAN = _of(
    Level.ITEM,
    Message.SPAN,
    trace_id=(0x0A, Form.TRACE_ID),
    span_id=(0x12, Form.SPAN_ID),
    trace_state=(0x1A, Form.TEXT),
    parent_span_id=(0x22, Form.SPAN_ID),
    name=(0x2A, Form.TEXT),
    kind=(0x30, Form.WHOLE),
    start_time_unix_nano=(0x39, Form.WHOLE),
    end_time_unix_nano=(0x41, Form.WHOLE),
    dropped_attributes_count=(0x50, Form.WHOLE),
    dropped_events_count=(0x60, Form.WHOLE),
    dropped_links_count=(0x70, Form.WHOLE),
) | {
    "trace_id.string": Field(Level.ITEM, Form.TRACE_ID_HEX, (Place(Message.SPAN, 0x0A),)),
    "span_id.string": Field(Level.ITEM, Form.SPAN_ID_HEX, (Place(Message.SPAN, 0x12),)),
    "parent_span_id.string": Field(Level.ITEM, Form.SPAN_ID_HEX, (Place(Message.SPAN, 0x22),)),
    "kind.string": Field(Level.ITEM, Form.KIND_TEXT, (Place(Message.SPAN, 0x30),)),
    "kind.deprecated_string": Field(Level.ITEM, Form.KIND_NAME, (Place(Message.SPAN, 0x30),)),
    "status.message": Field(Level.ITEM, Form.TEXT, (Place(Message.SPAN, 0x7A, 0x12),)),
    "status.code": Field(Level.ITEM, Form.WHOLE, (Place(Message.SPAN, 0x7A, 0x18),)),
}

_LOG = _of(
    Level.ITEM,
    Message.LOG,
    time_unix_nano=(0x09, Form.WHOLE),
    severity_number=(0x10, Form.WHOLE),
    severity_text=(0x1A, Form.TEXT),
    body=(0x2A, Form.ANY),
    dropped_attributes_count=(0x38, Form.WHOLE),
    flags=(0x45, Form.WHOLE),
    trace_id=(0x4A, Form.TRACE_ID),
    span_id=(0x52, Form.SPAN_ID),
    observed_time_unix_nano=(0x59, Form.WHOLE),
    event_name=(0x62, Form.TEXT),
) | {
    "body.string": Field(Level.ITEM, Form.ANY_TEXT, (Place(Message.LOG, 0x2A),)),
    "trace_id.string": Field(Level.ITEM, Form.TRACE_ID_HEX, (Place(Message.LOG, 0x4A),)),
    "span_id.string": Field(Level.ITEM, Form.SPAN_ID_HEX, (Place(Message.LOG, 0x52),)),
}

_METRIC = _of(
    Level.METRIC, Message.METRIC, name=(0x0A, Form.TEXT), description=(0x12, Form.TEXT), unit=(0x1A, Form.TEXT)
) | {
    "type": _data(Form.METRIC_TYPE, 0, _GAUGE, _SUM, *_HISTOGRAMS, _SUMMARIES),
    "aggregation_temporality": _data(Form.MEMBER_WHOLE, 0x10, _SUM, *_HISTOGRAMS),
    "is_monotonic": _data(Form.MEMBER_TRUTH, 0x18, _SUM),
}

_VALUE: Final = ((_NUMBER, 0x21), (_NUMBER, 0x31))

_DATAPOINT = {
    "start_time_unix_nano": _points(Form.WHOLE, *((message, 0x11) for message in _EVERY)),
    "time_unix_nano": _points(Form.WHOLE, *((message, 0x19) for message in _EVERY)),
    "value_double": _points(Form.POINT_REAL, *_VALUE),
    "value_int": _points(Form.POINT_INTEGER, *_VALUE),
    "flags": _points(Form.WHOLE, (_NUMBER, 0x40), (_HISTOGRAM, 0x50), (_EXPONENTIAL, 0x50), (_SUMMARY, 0x40)),
    "count": _points(Form.WHOLE, *((message, 0x21) for message in _DISTRIBUTIONS)),
    "sum": _points(Form.REAL, *((message, 0x29) for message in _DISTRIBUTIONS)),
    "scale": _points(Form.ZIGZAG, (_EXPONENTIAL, 0x30)),
    "zero_count": _points(Form.WHOLE, (_EXPONENTIAL, 0x39)),
}

_EVENT = _of(
    Level.EVENT,
    Message.EVENT,
    time_unix_nano=(0x09, Form.WHOLE),
    name=(0x12, Form.TEXT),
    dropped_attributes_count=(0x20, Form.WHOLE),
)

FIELDS: Final = {
    f"{message}.{name}": field
    for message, fields in {
        "resource": _of(Level.RESOURCE, Message.RESOURCE, dropped_attributes_count=(0x10, Form.WHOLE)),
        "scope": _of(
            Level.SCOPE,
            Message.SCOPE,
            name=(0x0A, Form.TEXT),
            version=(0x12, Form.TEXT),
            dropped_attributes_count=(0x20, Form.WHOLE),
        ),
        "span": _SPAN,
        "log": _LOG,
        "metric": _METRIC,
        "datapoint": _DATAPOINT,
        "spanevent": _EVENT,
    }.items()
    for name, field in fields.items()
}
"""All of them, by name."""
