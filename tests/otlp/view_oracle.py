"""What edits of views do, told plainly on protobuf objects: the oracle of the views.

`pairs` puts each view beside its protobuf message; `compare` reads both, `change` changes both.
"""

from __future__ import annotations

import math

from sluiceway.otlp import Signal
from sluiceway.otlp.plan import decode_value, encode_value
from tests.otlp.naive import _upsert

TIMES = {name: f"{name}_unix_nano" for name in ("time", "start_time", "end_time", "observed_time")}
TEXTS = ["", "a", "GET /", "naïve 🦆", "x" * 200]
KEYS = ["a", "b", "http.method", "service.name", "", "new", "naïve"]
VALUES = [
    "",
    "text",
    "é",
    True,
    False,
    0,
    -1,
    2**63 - 1,
    1.5,
    math.inf,
    b"\x00\xff",
    [1, "a", [None]],
    {"k": {"l": 2.5}},
]
FIELDS = {
    "Span": {
        "text": ["name", "trace_state"],
        "int": ["kind", "start_time", "end_time", "flags", "dropped_attributes_count", "dropped_events_count"],
        "id": ["trace_id", "span_id", "parent_span_id"],
    },
    "Event": {"text": ["name"], "int": ["time", "dropped_attributes_count"], "id": []},
    "Link": {"text": ["trace_state"], "int": ["flags"], "id": ["trace_id", "span_id"]},
    "Status": {"text": ["message"], "int": ["code"], "id": []},
    "LogRecord": {
        "text": ["severity_text", "event_name"],
        "int": ["time", "observed_time", "severity_number", "flags", "dropped_attributes_count"],
        "id": ["trace_id", "span_id"],
    },
    "Metric": {"text": ["name", "description", "unit"], "int": [], "id": []},
    "NumberDataPoint": {"text": [], "int": ["time", "start_time", "flags"], "id": []},
    "HistogramDataPoint": {"text": [], "int": ["time", "start_time", "flags", "count"], "id": []},
    "ExponentialHistogramDataPoint": {
        "text": [], "int": ["time", "start_time", "flags", "count", "scale", "zero_count"], "id": [],
    },
    "SummaryDataPoint": {"text": [], "int": ["time", "start_time", "flags", "count"], "id": []},
    "Exemplar": {"text": [], "int": ["time"], "id": ["trace_id", "span_id"]},
    "InstrumentationScope": {"text": ["name", "version"], "int": [], "id": []},
}  # fmt: skip
OPTIONAL = {"HistogramDataPoint": ["sum", "min", "max"], "ExponentialHistogramDataPoint": ["sum", "min", "max"]}


class Node:
    """A view beside its protobuf message, and what lies in it."""

    def __init__(self, view, message, below=()):
        self.view, self.message, self.below = view, message, list(below)
        self.kind = message.DESCRIPTOR.name
        self.dropped = False
        self.absent = [
            name for name in ("resource", "scope", "status") if name in _fields(message) and not message.HasField(name)
        ]

    @property
    def fields(self):
        """The message that holds the fields: of an entry that of its scope."""
        return self.message.scope if self.kind.startswith("Scope") else self.message

    @property
    def attributes(self):
        """The attributes of the message, where there are any to be."""
        if self.kind.startswith("Resource"):
            return self.message.resource.attributes
        if self.kind == "Metric":
            return self.message.metadata
        if self.kind == "Exemplar":
            return self.message.filtered_attributes
        return getattr(self.fields, "attributes", None)

    @property
    def mapping(self):
        """The attributes of the view."""
        return self.view.metadata if self.kind == "Metric" else self.view.attributes

    def all(self):
        """This node and those below it."""
        yield self
        for node in self.below:
            yield from node.all()


def _fields(message):
    return message.DESCRIPTOR.fields_by_name


def settle(nodes):
    """A resource or scope that was brought into being and is empty counts as never there."""
    for node in nodes:
        for name in node.absent:
            if not getattr(node.message, name).ByteSize():
                node.message.ClearField(name)


def pairs(batch, signal, message):
    """The nodes of the resource entries, with all below them."""
    noun = "spans" if signal is Signal.TRACES else signal.value
    entries = getattr(message, f"resource_{noun}")
    return [_entry(view, entry, noun) for view, entry in zip(batch.resources, entries, strict=True)]


def _entry(view, entry, noun):
    scopes = zip(view.scopes, getattr(entry, f"scope_{noun}"), strict=True)
    return Node(view, entry, [_scope(view, scope, noun) for view, scope in scopes])


def _scope(view, scope, noun):
    if noun == "metrics":
        return Node(view, scope, [_metric(*pair) for pair in zip(view.metrics, scope.metrics, strict=True)])
    items = scope.spans if noun == "spans" else scope.log_records
    return Node(view, scope, [_item(*pair) for pair in zip(view.items, items, strict=True)])


def _metric(view, metric):
    data = metric.WhichOneof("data")
    points = getattr(metric, data).data_points if data else ()
    assert view.type == data
    if data:
        held = getattr(metric, data)
        assert view.temporality == getattr(held, "aggregation_temporality", 0)
        assert view.monotonic == getattr(held, "is_monotonic", False)
    return Node(view, metric, [_item(*pair) for pair in zip(view.points, points, strict=True)])


def _item(view, item):
    below = []
    for name in ("events", "links", "exemplars"):
        if hasattr(item, name):
            below += [Node(*pair) for pair in zip(getattr(view, name), getattr(item, name), strict=True)]
    return Node(view, item, below)


# ---- reading


def compare(node):
    """Hold each field of a view against the message's."""
    kind = "InstrumentationScope" if node.kind.startswith("Scope") else node.kind
    for names in FIELDS.get(kind, {}).values():
        for name in names:
            assert getattr(node.view, name) == _read(node.fields, name), (kind, name)
    if node.attributes is not None:
        _compare_attributes(node.mapping, node.attributes)
    for name in OPTIONAL.get(kind, ()):
        assert _same(getattr(node.view, name), getattr(node.message, name) if node.message.HasField(name) else None)
    if kind == "LogRecord":
        raw = node.message.body.SerializeToString()
        assert _same(node.view.body, decode_value(raw) if node.message.HasField("body") else None)
    if kind in ("NumberDataPoint", "Exemplar"):
        member = node.message.WhichOneof("value")
        assert _same(node.view.value, getattr(node.message, member) if member else None)
    if kind == "Span":
        assert (node.view.status.code, node.view.status.message) == (
            node.message.status.code, node.message.status.message,
        )  # fmt: skip
        assert node.view.duration == node.message.end_time_unix_nano - node.message.start_time_unix_nano
    if kind == "HistogramDataPoint":
        assert node.view.bucket_counts == tuple(node.message.bucket_counts)
        assert _same(node.view.explicit_bounds, tuple(node.message.explicit_bounds))
    if kind == "ExponentialHistogramDataPoint":
        for side in ("positive", "negative"):
            view, message = getattr(node.view, side), getattr(node.message, side)
            assert (view.offset, view.bucket_counts) == (message.offset, tuple(message.bucket_counts))
    if kind == "SummaryDataPoint":
        found = [(each.quantile, each.value) for each in node.view.quantiles]
        assert _same(found, [(each.quantile, each.value) for each in node.message.quantile_values])


def _read(message, name):
    value = getattr(message, TIMES.get(name, name))
    return value.hex() if isinstance(value, bytes) else value


def _compare_attributes(mapping, attributes):
    wanted = {}
    for pair in attributes:
        wanted.setdefault(pair.key, decode_value(pair.value.SerializeToString()))
    assert _same(mapping.copy(), wanted)
    assert list(mapping) == list(wanted)
    assert len(mapping) == len(wanted)
    for key in KEYS:
        assert (key in mapping) == (key in wanted)
        assert _same(mapping.get(key, 7), wanted.get(key, 7))


def _same(left, right):
    """Equality in which NaN equals itself, and True is not 1."""
    return repr(left) == repr(right)


# ---- changing


def change(random, node):
    """Change a view and its message alike, in some way."""
    ways = [_set_field, _set_attribute, _set_attribute, _delete_attribute, _edit_in_place]
    kind = node.kind
    if kind == "LogRecord":
        ways += [_set_body, _edit_body]
    if kind in ("NumberDataPoint", "Exemplar"):
        ways.append(_set_number)
    if kind in OPTIONAL:
        ways.append(_set_optional)
    if kind == "Span":
        ways.append(_set_status)
    random.choice(ways)(random, node)


def _set_field(random, node):
    kind = "InstrumentationScope" if node.kind.startswith("Scope") else node.kind
    choices = [(type, name) for type, names in FIELDS.get(kind, {}).items() for name in names]
    if not choices:
        return
    _put(random, node.view, node.fields, *random.choice(choices))


def _put(random, view, message, type, name):
    if type == "text":
        value = given = random.choice(TEXTS)
    elif type == "int":
        value = given = random.choice([0, 1, 5, 2**31 - 1])
    else:
        value = bytes(random.choice([0, 1])) and random.randbytes(8 if "span" in name else 16)
        given = value.hex()
    setattr(view, name, given)
    if value or message.ByteSize():  # a default does not bring an absent message into being
        setattr(message, TIMES.get(name, name), value)


def _set_attribute(random, node):
    if node.attributes is None:
        return
    key, value = random.choice(KEYS), random.choice(VALUES)
    node.mapping[key] = value
    _upsert(node.attributes, key, encode_value(value))


def _delete_attribute(random, node):
    keys = sorted({pair.key for pair in node.attributes or ()})
    if not keys:
        return
    key = random.choice(keys)
    del node.mapping[key]
    for place in reversed([n for n, pair in enumerate(node.attributes) if pair.key == key]):
        del node.attributes[place]


def _edit_in_place(random, node):
    for key in sorted({pair.key for pair in node.attributes or ()}):
        value = node.mapping[key]
        if isinstance(value, list | dict) and _edit(value):
            assert node.mapping[key] is value
            _upsert(node.attributes, key, encode_value(value))


def _edit(value):
    if "nan" in repr(value):
        return False
    if isinstance(value, list):
        value.append("more")
    else:
        value["more"] = [1]
    return True


def _set_body(random, node):
    value = random.choice([None, *VALUES])
    node.view.body = value
    node.message.ClearField("body")
    if value is not None:
        node.message.body.MergeFromString(encode_value(value))
        node.message.body.SetInParent()


def _edit_body(random, node):
    value = node.view.body
    if isinstance(value, list | dict) and _edit(value):
        node.message.body.Clear()
        node.message.body.MergeFromString(encode_value(value))


def _set_number(random, node):
    value = random.choice([0, -5, 2**62, 0.0, 2.5, math.inf])
    node.view.value = value
    setattr(node.message, "as_int" if isinstance(value, int) else "as_double", value)


def _set_optional(random, node):
    name, value = random.choice(OPTIONAL[node.kind]), random.choice([None, 0.0, 2.5])
    setattr(node.view, name, value)
    if value is None:
        node.message.ClearField(name)
    else:
        setattr(node.message, name, value)


def _set_status(random, node):
    present = node.message.HasField("status")
    type, name = random.choice([("text", "message"), ("int", "code")])
    _put(random, node.view.status, node.message.status, type, name)
    if not present and not node.message.status.ByteSize():
        node.message.ClearField("status")


# ---- dropping


def drop(node):
    """Take a node out of the view, and mark it."""
    node.view.drop()
    node.dropped = True


def take_out(message, nodes):
    """Remove what was dropped from the message, and the containers that lost all of their items by it."""
    for node in nodes:
        _prune(node)
    _remove(getattr(message, message.DESCRIPTOR.fields[0].name), nodes)


def _is_item(node):
    return not node.kind.startswith(("Resource", "Scope")) and node.kind != "Metric"


def _alive(node):
    if node.dropped:
        return 0
    return 1 if _is_item(node) else sum(map(_alive, node.below))


def _prune(node):
    if _is_item(node):
        for name in ("events", "links", "exemplars"):
            if hasattr(node.message, name):
                inside = [each for each in node.below if each.kind == name[:-1].capitalize()]
                _remove(getattr(node.message, name), inside)
        return
    for each in node.below:
        _prune(each)
    if not node.dropped and any(each.dropped for each in node.below) and not _alive(node):
        node.dropped = True
    if node.kind == "Metric":
        data = node.message.WhichOneof("data")
        if data:
            _remove(getattr(node.message, data).data_points, node.below)
    elif not node.dropped:
        (children,) = (
            getattr(node.message, name)
            for name in ("scope_spans", "scope_logs", "scope_metrics", "spans", "log_records", "metrics")
            if name in _fields(node.message)
        )
        _remove(children, node.below)


def _remove(repeated, nodes):
    for place in reversed(range(len(nodes))):
        if nodes[place].dropped:
            del repeated[place]
