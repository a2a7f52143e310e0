"""Batches as wholes: building, joining, splitting, looking at and sorting out resources."""

from __future__ import annotations

import time
from collections import Counter
from importlib import import_module
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from sluiceway.errors import DecodeError, TooLargeError
from sluiceway.otlp import (
    Batch,
    Limits,
    Origin,
    Signal,
    _resources,
    _split,
    accept,
    by_trace,
    group_resources,
    identities,
    join,
    keep_resources,
    partition,
    pick,
    resources,
    sample,
    split,
    take,
)
from sluiceway.otlp.plan import Level, Plan, Put, Remove
from tests.otlp.fuzz import check_junk, damaged
from tests.otlp.strategies import OFFICIAL, checked, field, payloads, shape

KEY = "service.name"


def traces(*services: tuple[str, int]) -> TracesData:
    """One resource entry a service, with so many spans numbered from zero."""
    message = TracesData()
    for service, spans in services:
        entry = message.resource_spans.add()
        entry.resource.attributes.add(key=KEY).value.string_value = service
        entry.scope_spans.add().spans.extend(Span(name=str(n)) for n in range(spans))
    return message


def gauge(points: int) -> MetricsData:
    """One gauge with so many points, numbered from zero."""
    message = MetricsData()
    metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name="load", unit="1")
    for n in range(points):
        metric.gauge.data_points.add(as_int=n)
    return message


def text(value: str) -> bytes:
    """The encoded `AnyValue` of a text."""
    return AnyValue(string_value=value).SerializeToString()


def rest(signal: Signal, payload: bytes) -> bytes:
    """What stands beside the resource entries."""
    message = OFFICIAL[signal].FromString(payload)
    message.ClearField(message.DESCRIPTOR.fields[0].name)
    return message.SerializeToString()


@pytest.mark.parametrize("noun", ["Traces", "Metrics", "Logs"])
def test_a_batch_is_built_from_data_and_from_requests(noun):
    """Both have the same shape, and either tells its signal by its name."""
    signal = Signal[noun.upper()]
    requests = [ExportTraceServiceRequest(), ExportMetricsServiceRequest(), ExportLogsServiceRequest()]
    for message in (OFFICIAL[signal](), requests[signal.code]):
        batch = Batch.from_proto(message, Origin(peer="here"))
        assert (batch.signal, batch.items, batch.origin.peer) == (signal, 0, "here")


def test_other_messages_are_no_batch():
    """A span alone is not taken for a request."""
    with pytest.raises(TypeError, match=r"opentelemetry\.proto\.trace\.v1\.Span is no OTLP message"):
        Batch.from_proto(Span())


def test_a_batch_gives_its_protobuf_object():
    """What went in comes out."""
    for message in (traces(("a", 2)), gauge(3)):
        assert Batch.from_proto(message).proto() == message


def test_signals_know_the_noun_of_their_items():
    """The nouns are those of the Collector's own metrics."""
    assert [signal.items for signal in Signal] == ["spans", "metric_points", "log_records"]


def test_an_honest_large_request_is_within_the_default_limits():
    """56,000 spans of ten attributes, 20 MiB, are taken, and so are as many bytes of spans with the shortest ones."""
    attribute = field(9, 2, field(1, 2, b"http.attribute") + field(2, 2, field(1, 2, b"some value")))
    span = field(2, 2, attribute * 10)
    assert accept(Signal.TRACES, field(1, 2, field(2, 2, span * 56_000))).items == 56_000
    ids = field(1, 2, bytes(16)) + field(2, 2, bytes(8)) + field(7, 1, bytes(8)) + field(8, 1, bytes(8))
    span = field(2, 2, ids + field(5, 2, b"name") + field(9, 2, field(1, 2, b"k1") + field(2, 2, b"\x18\x01")) * 10)
    many = 20 * 2**20 // len(span)
    assert accept(Signal.TRACES, field(1, 2, field(2, 2, span * many))).items == many


def spans(content: bytes) -> tuple[Signal, bytes]:
    """A span that holds this, with everything around it."""
    return Signal.TRACES, field(1, 2, field(2, 2, field(2, 2, content)))


def points(kind: int, content: bytes) -> tuple[Signal, bytes]:
    """The data of a metric, of the kind by its field number, with everything around it."""
    return Signal.METRICS, field(1, 2, field(2, 2, field(2, 2, field(kind, 2, content))))


def empty(number: int) -> bytes:
    """As many empty messages as make 20 MiB, which gzip makes 20 KiB."""
    return field(number, 2, b"") * (10 * 2**20 - 100)


@pytest.mark.parametrize(
    "request_of",
    [
        pytest.param(lambda: (Signal.TRACES, empty(1)), id="resources"),
        pytest.param(lambda: (Signal.TRACES, field(1, 2, empty(2))), id="scopes"),
        pytest.param(lambda: (Signal.TRACES, field(1, 2, field(2, 2, empty(2)))), id="spans"),
        pytest.param(lambda: (Signal.LOGS, field(1, 2, field(2, 2, empty(2)))), id="log records"),
        pytest.param(lambda: spans(empty(9)), id="attributes"),
        pytest.param(lambda: spans(empty(11)), id="events"),
        pytest.param(lambda: spans(empty(13)), id="links"),
        pytest.param(lambda: spans(field(9, 2, field(2, 2, field(5, 2, empty(1))))), id="elements of an array"),
        pytest.param(lambda: spans(field(9, 2, field(2, 2, field(6, 2, empty(1))))), id="entries of a map"),
        pytest.param(lambda: spans(field(9, 2, field(2, 2, empty(5)))), id="arrays"),
        pytest.param(lambda: (Signal.METRICS, field(1, 2, field(2, 2, empty(2)))), id="metrics"),
        pytest.param(lambda: points(5, empty(1)), id="points of a gauge"),
        pytest.param(lambda: points(9, empty(1)), id="points of a histogram"),
        pytest.param(lambda: points(11, empty(1)), id="points of a summary"),
        pytest.param(lambda: points(5, field(1, 2, empty(5))), id="exemplars"),
        pytest.param(lambda: (Signal.TRACES, field(1, 2, field(1, 2, field(3, 2, empty(3))))), id="texts of an entity"),
    ],
)
def test_a_request_of_nothing_but_empty_messages_is_refused_at_once(request_of):
    """The walk stops at the limit or costs milliseconds, and nothing is built of what came as 20 KiB of gzip."""
    signal, raw = request_of()
    begun = time.process_time()
    with pytest.raises(TooLargeError):
        accept(signal, raw)
    assert time.process_time() - begun < 0.2


def test_what_the_limits_let_through_stays_cheap_behind_the_door():
    """The most resource entries and the most attributes of a span are looked at and edited in part of a second."""
    most = Limits().entries
    plan = Plan([Put(Level.RESOURCE, "tenant.id", "t"), Put(Level.ITEM, "a", 1), Remove(Level.ITEM, pattern="^$")])
    for raw in (field(1, 2, b"") * most, spans(field(9, 2, b"") * most)[1]):
        batch = accept(Signal.TRACES, raw)
        begun = time.process_time()
        resources(batch, [KEY])
        partition(batch, KEY)
        plan.run(batch)
        assert time.process_time() - begun < 1


@checked
@given(st.sampled_from(Signal).flatmap(lambda signal: st.lists(payloads(signal), min_size=1, max_size=4)))
def test_joining_is_protobuf_merging(wires):
    """All items of all batches, in order, with the origin of the first."""
    batches = [accept(signal, raw, Origin(peer=str(n))) for n, (signal, raw) in enumerate(wires)]
    joined = join(batches)
    merged = OFFICIAL[joined.signal]()
    for batch in batches:
        merged.MergeFrom(batch.proto())
    assert joined.proto() == merged
    assert (joined.items, joined.origin.peer) == (sum(batch.items for batch in batches), "0")
    assert accept(joined.signal, joined.payload).items == joined.items


def test_batches_of_two_signals_do_not_join():
    """Their bytes would look alike and mean something else."""
    with pytest.raises(ValueError, match="one signal"):
        join([Batch(Signal.TRACES, b"", 0), Batch(Signal.LOGS, b"", 0)])


@checked
@given(payloads(), st.integers(0, 6), st.sampled_from([0, 1, 40, 150, 400, 2000]))
def test_splitting_conserves_everything_within_the_limits(wire, items, size):
    """The pieces, each valid, hold together exactly what the batch held, under the same headers, in the same order."""
    batch = accept(*wire)
    pieces = split(batch, items, size)
    assert [row for piece in pieces for row in shape(batch.signal, piece.payload)] == shape(*wire)
    assert b"".join(rest(batch.signal, piece.payload) for piece in pieces) == rest(*wire)
    for piece in pieces:
        assert accept(batch.signal, piece.payload).items == piece.items
        assert not items or piece.items <= items
        assert not size or len(piece.payload) <= size or len(shape(batch.signal, piece.payload)) <= 1


def test_pieces_are_filled_to_the_limit():
    """Ten spans in pieces of four are four, four and two, however they are spread over resources."""
    batch = Batch.from_proto(traces(("a", 3), ("b", 6), ("c", 1)))
    assert [piece.items for piece in split(batch, items=4)] == [4, 4, 2]


def test_a_metric_is_split_between_its_points():
    """Name and unit are repeated, the points are not."""
    pieces = [piece.proto() for piece in split(Batch.from_proto(gauge(5)), items=2)]
    metrics = [piece.resource_metrics[0].scope_metrics[0].metrics[0] for piece in pieces]
    assert {(metric.name, metric.unit) for metric in metrics} == {("load", "1")}
    assert [[point.as_int for point in metric.gauge.data_points] for metric in metrics] == [[0, 1], [2, 3], [4]]


def test_what_fits_is_not_touched():
    """The same object comes back, also where only the kernel can tell."""
    batch = Batch.from_proto(traces(("a", 3)))
    assert split(batch)[0] is batch
    assert split(batch, items=3, size=len(batch.payload))[0] is batch
    assert _split.split(0, batch.payload, 3, 0)[0][0] is batch.payload


def test_a_single_item_that_is_too_large_is_a_piece_of_its_own():
    """Its neighbours are not held up by it."""
    message = traces(("a", 5))
    message.resource_spans[0].scope_spans[0].spans[2].name = "x" * 500
    pieces = split(Batch.from_proto(message), size=100)
    assert [len(piece.payload) > 100 for piece in pieces].count(True) == 1
    assert sum(piece.items for piece in pieces) == 5


def test_repeated_headers_do_not_fill_the_memory():
    """A header of 1 MiB over 200,000 spans is not written 200,000 times."""
    raw = field(1, 2, field(3, 2, b"x" * 2**20) + field(2, 2, field(2, 2, b"") * 200_000))
    pieces = split(accept(Signal.TRACES, raw), items=1)
    assert sum(len(piece.payload) for piece in pieces) < 12 * len(raw)
    assert sum(piece.items for piece in pieces) == 200_000


def test_a_large_batch_is_split_without_the_interpreter():
    """Above 64 KiB other threads run meanwhile; the outcome is the same."""
    batch = Batch.from_proto(traces(("a", 20_000), ("b", 20_000)))
    pieces = split(batch, items=30_000)
    assert [piece.items for piece in pieces] == [30_000, 10_000]
    assert [row for piece in pieces for row in shape(Signal.TRACES, piece.payload)] == shape(
        Signal.TRACES, batch.payload
    )


def items_of(signal, raw):
    """The rows of `shape` that are items, not headers without any."""
    return [row for row in shape(signal, raw) if len(row) == (4 if signal is Signal.METRICS else 3)]


@checked
@given(payloads(), st.integers(0, 8))
def test_taking_keeps_the_first_items(wire, number):
    """So many, or all there are, under their headers; what is left over is a valid batch."""
    batch = accept(*wire)
    taken = take(batch, number)
    assert items_of(batch.signal, taken.payload) == items_of(*wire)[:number]
    assert accept(batch.signal, taken.payload).items == taken.items == min(number, batch.items)


@checked
@given(payloads(), st.randoms())
def test_items_are_picked_by_a_mask(wire, random):
    """Those whose byte is set, under their headers and in order; what is left is a valid batch."""
    batch = accept(*wire)
    mask = bytes(random.randrange(2) for _ in range(batch.items))
    picked = pick(batch, mask)
    assert items_of(batch.signal, picked.payload) == [
        row for row, flag in zip(items_of(*wire), mask, strict=True) if flag
    ]
    assert accept(batch.signal, picked.payload).items == picked.items == sum(mask)


@pytest.mark.parametrize("mask", [b"", b"\x01", b"\x01\x01\x00"])
def test_a_mask_has_one_flag_for_each_item(mask):
    """A mask made for another batch is a mistake that is not passed over."""
    with pytest.raises(ValueError, match="mask"):
        pick(Batch.from_proto(traces(("a", 1), ("b", 1))), mask)


def mixed(word: int) -> int:
    """The finalizer of MurmurHash3, with 64 bits."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        word = (word ^ word >> 33) * factor % 2**64
    return word ^ word >> 33


def naive_sample(signal, raw, share, carried):
    """What `sample` keeps, worked out on protobuf objects."""
    kinds = {Signal.TRACES: Span, Signal.LOGS: LogRecord}
    for row in items_of(signal, raw):
        trace = kinds[signal].FromString(row[-1]).trace_id if signal in kinds else b""
        if len(trace) == 16:
            high, low = int.from_bytes(trace[:8], "big"), int.from_bytes(trace[8:], "big")
            if mixed(mixed(high) ^ low) >> 32 < int(share * 2**32):
                yield row
        else:
            carried += int(share * 2**32)
            if carried >= 2**32:
                carried -= 2**32
                yield row


@checked
@given(payloads(), st.sampled_from([0, 0.1, 0.5, 0.9, 0.999]), st.sampled_from([0, 0.5, 0.999]))
def test_sampling_keeps_what_it_does_on_objects(wire, share, start):
    """By the hash of the trace where there is one, else evenly; what is left over is a valid batch."""
    batch = accept(*wire)
    kept = sample(batch, share, start)
    assert items_of(batch.signal, kept.payload) == list(naive_sample(*wire, share, int(start * 2**32)))
    assert accept(batch.signal, kept.payload).items == kept.items


def test_traces_are_sampled_as_a_whole_and_about_as_many_as_asked_for():
    """Every trace is there with all its spans or none, however close their ids; a larger share keeps a superset."""
    message = TracesData()
    spans = message.resource_spans.add().scope_spans.add().spans
    for number in range(20_000):
        spans.add(trace_id=(number // 4).to_bytes(16, "big"))
    batch = Batch.from_proto(message)
    kept = {}
    for share in (0.1, 0.3):
        found = Counter(span.trace_id for span in sample(batch, share).proto().resource_spans[0].scope_spans[0].spans)
        assert set(found.values()) == {4}
        assert abs(len(found) - 5_000 * share) < 150
        kept[share] = set(found)
    assert kept[0.1] < kept[0.3]


def test_a_random_start_makes_single_items_come_through_at_the_share():
    """A batch of one is kept when its share and the start make a whole."""
    batch = Batch.from_proto(gauge(1))
    assert sum(sample(batch, 0.25, start / 1000).items for start in range(1000)) == 250


def trace_in(signal, row):
    """The trace id of an item; empty where it has none."""
    kinds = {Signal.TRACES: Span, Signal.LOGS: LogRecord}
    trace = kinds[signal].FromString(row[-1]).trace_id if signal in kinds else b""
    return trace if len(trace) == 16 and any(trace) else b""


@checked
@given(payloads())
def test_batches_by_trace_hold_each_its_trace_and_together_everything(wire):
    """One batch for each id, in their order; in each the items stand in the order they had."""
    batch = accept(*wire)
    parts = by_trace(batch)
    rows = items_of(batch.signal, batch.payload)
    found = {}
    for trace, part in parts:
        assert accept(batch.signal, part.payload).items == part.items
        assert trace not in found
        found[trace] = items_of(batch.signal, part.payload)
    expected = {}
    for row in rows:
        expected.setdefault(trace_in(batch.signal, row), []).append(row)
    assert found == (expected or {b"": []})
    assert list(found) == sorted(found)


def test_one_trace_is_the_batch_itself():
    """Nothing is copied where all items are of one trace, or metrics."""
    message = TracesData()
    message.resource_spans.add().scope_spans.add().spans.extend([Span(trace_id=b"a" * 16)] * 3)
    batch = Batch.from_proto(message)
    ((trace, part),) = by_trace(batch)
    assert (trace, part) == (b"a" * 16, batch)
    assert part is batch
    assert by_trace(Batch.from_proto(gauge(2)))[0][0] == b""


def test_traces_that_lie_apart_come_together():
    """Spans of one trace in several resources and scopes are one batch, with the headers of each."""
    message = TracesData()
    for service in ("a", "b"):
        entry = message.resource_spans.add(schema_url=service)
        for scope in ("x", "y"):
            spans = entry.scope_spans.add(schema_url=scope).spans
            spans.extend(Span(trace_id=bytes([n]) * 16, name=f"{service}{scope}{n}") for n in (2, 1))
    (one, first), (two, second) = by_trace(Batch.from_proto(message))
    assert (one, two) == (b"\1" * 16, b"\2" * 16)
    for number, part in ((1, first.proto()), (2, second.proto())):
        assert [
            (entry.schema_url, scope.schema_url, span.name)
            for entry in part.resource_spans
            for scope in entry.scope_spans
            for span in scope.spans
        ] == [(s, c, f"{s}{c}{number}") for s in "ab" for c in "xy"]


def test_a_trace_each_under_a_large_resource_does_not_fill_the_memory():
    """Once headers have been repeated eight times the payload, the rest stays together, as of no trace."""
    message = TracesData()
    entry = message.resource_spans.add(schema_url="x" * 100_000)
    entry.scope_spans.add().spans.extend(Span(trace_id=n.to_bytes(16, "big")) for n in range(1, 1001))
    parts = by_trace(Batch.from_proto(message))
    assert sum(part.items for _, part in parts) == 1000
    assert sum(len(part.payload) for _, part in parts) < 12 * 100_000 * 2
    assert parts[-1][0] == b""


def test_the_identity_of_a_resource_is_that_of_its_attributes_in_any_order():
    """What else the entry holds makes no difference."""
    message = TracesData()
    for order in ("ab", "ba", "a"):
        entry = message.resource_spans.add(schema_url=order)
        for key in order:
            entry.resource.attributes.add(key=key).value.string_value = key
    one, other, less = identities(Batch.from_proto(message))
    assert one == other != less
    assert len(less) == 16


def test_what_is_wanted_whole_is_not_touched():
    """The same object comes back."""
    batch = Batch.from_proto(traces(("a", 3)))
    assert take(batch, 3) is batch
    assert sample(batch, 1.0) is batch
    assert take(batch, 0).items == sample(batch, 0.0).items == 0


@checked
@given(payloads())
def test_resources_are_seen_as_protobuf_sees_them(wire):
    """One entry each, with its items, and for each key the value of the first attribute of that name."""
    batch = accept(*wire)
    entries = getattr(batch.proto(), batch.proto().DESCRIPTOR.fields[0].name)
    found = resources(batch, [KEY, "absent", ""])
    assert sum(items for items, _ in found) == batch.items
    assert len(found) == len(entries)
    for entry, (_, values) in zip(entries, found, strict=True):
        for key, value in zip([KEY, "absent", ""], values, strict=True):
            expected = next((a.value for a in entry.resource.attributes if a.key == key), None)
            assert (None if value is None else AnyValue.FromString(value)) == expected


@checked
@given(payloads())
def test_a_partition_sorts_resource_entries_by_a_value(wire):
    """Each entry is in exactly one part, in order, beside those that have the same value for the key."""
    batch = accept(*wire)
    parts = partition(batch, KEY)
    assert sum(part.items for _, part in parts) == batch.items
    assert len({value for value, _ in parts}) == len(parts)
    whole = [(value, row) for value, part in parts for row in shape(batch.signal, part.payload)]
    assert sorted(row for _, row in whole) == sorted(shape(*wire))
    for value, part in parts:
        assert accept(part.signal, part.payload).items == part.items
        assert {found for _, (found,) in resources(part, [KEY])} <= {value}


def test_parts_come_in_the_order_of_first_appearance():
    """And what has one value only is not touched."""
    batch = Batch.from_proto(traces(("b", 1), ("a", 2), ("b", 3)))
    assert [(value, part.items) for value, part in partition(batch, KEY)] == [(text("b"), 4), (text("a"), 2)]
    assert partition(batch, "absent") == [(None, batch)]
    assert partition(batch, "absent")[0][1] is batch


def test_a_batch_without_resources_is_one_part():
    """An empty request partitions into itself."""
    batch = Batch(Signal.LOGS, b"", 0)
    assert partition(batch, KEY) == [(None, batch)]
    assert resources(batch, [KEY]) == []


def test_unknown_fields_beside_the_entries_stay_with_a_neighbour():
    """A newer protocol's field is not lost, and makes no part of its own."""
    one, two = (traces((name, 1)).SerializeToString() for name in "ab")
    unknown = field(99, 0, b"\x07")
    parts = partition(accept(Signal.TRACES, unknown + one + two + unknown), KEY)
    assert [part.payload for _, part in parts] == [unknown + one, two + unknown]


@checked
@given(payloads(), st.integers(0, 255))
def test_resources_are_kept_by_a_mask(wire, bits):
    """Entries whose flag is false are gone, the others and all unknown fields are as they were."""
    batch = accept(*wire)
    expected = batch.proto()
    entries = getattr(expected, expected.DESCRIPTOR.fields[0].name)
    mask = [bool(bits >> n & 1) for n in range(len(entries))]
    for n in reversed(range(len(mask))):
        if not mask[n]:
            del entries[n]
    kept = keep_resources(batch, mask)
    assert kept.proto() == expected
    assert accept(kept.signal, kept.payload).items == kept.items
    assert kept.payload is batch.payload or not all(mask)


@pytest.mark.parametrize("mask", [b"", b"\x01", b"\x01\x01\x00"])
def test_a_mask_has_one_flag_for_each_entry(mask):
    """A mask made for another batch is a mistake that is not passed over."""
    with pytest.raises(ValueError, match="mask"):
        keep_resources(Batch.from_proto(traces(("a", 1), ("b", 1))), mask)


@checked
@given(payloads(), st.data())
def test_resources_are_grouped_as_told(wire, data):
    """Each entry goes to the group of its number, in order; together they hold what the batch held."""
    batch = accept(*wire)
    number = data.draw(st.integers(1, 4))
    groups = [data.draw(st.integers(0, number - 1)) for _ in resources(batch, [])]
    parts = group_resources(batch, groups, number)
    for place, part in enumerate(parts):
        kept = keep_resources(batch, [group == place for group in groups])
        assert (shape(batch.signal, part.payload), part.items) == (shape(batch.signal, kept.payload), kept.items)
    assert b"".join(rest(batch.signal, part.payload) for part in parts) == rest(*wire) or number > 1
    assert sum(len(part.payload) for part in parts) == len(batch.payload)


@pytest.mark.parametrize("groups", [[], [0], [0, 2], [0, -1], [0, 0, 0]])
def test_groups_must_fit_the_entries(groups):
    """One for each resource entry, of those there are."""
    with pytest.raises(ValueError, match="groups"):
        group_resources(Batch.from_proto(traces(("a", 1), ("b", 1))), groups, 2)


@pytest.mark.parametrize(
    "operation",
    [
        lambda raw: _split.split(1, raw, 1, 1),
        lambda raw: _split.take(1, raw, 1),
        lambda raw: _split.pick(1, raw, b"\1"),
        lambda raw: _split.sample(1, raw, 1, 1),
        lambda raw: _split.by_trace(0, raw),
        lambda raw: _resources.attributes(1, raw),
        lambda raw: _resources.resources(1, raw, [b"a"]),
        lambda raw: _resources.partition(1, raw, b"a"),
        lambda raw: _resources.keep_resources(1, raw, b""),
        lambda raw: _resources.group_resources(1, raw, [0], 1),
    ],
)
def test_bytes_that_were_never_accepted_are_refused_safely(operation):
    """Nothing beyond the end is read, whatever the lengths say."""
    whole = field(1, 2, field(1, 2, field(1, 2, b"")) + field(2, 2, field(2, 2, field(5, 2, field(1, 2, b"")))))
    for cut in range(1, len(whole)):
        with pytest.raises(DecodeError):
            operation(whole[:cut])


def test_keys_are_bytes_for_the_kernel():
    """Anything else is a mistake of the caller, not a crash."""
    with pytest.raises(TypeError):
        _resources.resources(0, traces(("a", 1)).SerializeToString(), ["a"])


def test_the_first_of_two_attributes_of_a_name_wins_in_all_its_parts():
    """A resource that comes twice is merged, and so is a value that comes in two parts."""
    value = field(2, 2, text("a")) + field(2, 2, text("b"))
    first = field(1, 2, field(1, 2, field(1, 2, KEY.encode()) + value))
    again = field(1, 2, field(1, 2, field(1, 2, KEY.encode()) + field(2, 2, text("c"))))
    assert resources(accept(Signal.TRACES, field(1, 2, again + first)), [KEY]) == [(0, (text("c"),))]
    assert resources(accept(Signal.TRACES, field(1, 2, first + again)), [KEY]) == [(0, (text("a") + text("b"),))]


def test_sizes_stay_within_the_limit_at_every_boundary_of_a_length():
    """Lengths grow a byte at 128 and at 16,384; the pieces stay below the limit on either side of it."""
    batch = Batch.from_proto(traces(("a", 6_000)))
    for size in (127, 128, 129, 130, 131, 140, 16_380, 16_384, 16_390):
        pieces = split(batch, size=size)
        assert max(len(piece.payload) for piece in pieces) <= size
        assert list(accumulate(piece.items for piece in pieces))[-1] == 6_000


@pytest.mark.parametrize(
    ("signal", "module"), [(Signal.TRACES, "trace"), (Signal.METRICS, "metrics"), (Signal.LOGS, "logs")]
)
def test_a_signal_knows_its_service(signal, module):
    """The name of the gRPC service is that of OTLP's own definition."""
    definition = import_module(f"opentelemetry.proto.collector.{module}.v1.{module}_service_pb2")
    assert [service.full_name for service in definition.DESCRIPTOR.services_by_name.values()] == [signal.service]


@checked
@given(payloads(), st.integers(0, 2**32))
def test_a_batch_that_never_passed_the_door_crashes_nothing(wire, seed):
    """Whatever its bytes are, an operation answers or raises `DecodeError` or `ValueError`."""
    check_junk(Random(seed), wire[0], damaged(Random(seed), wire[1]))
