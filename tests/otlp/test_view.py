"""Views: what is done to plain objects is done to the bytes, as it would be to protobuf objects."""

from __future__ import annotations

import copy
import gc
import threading
import time
from collections.abc import MutableMapping
from itertools import islice
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.otlp import Batch, Signal, accept
from sluiceway.otlp.view import Attributes, BatchView, Span, edit
from sluiceway.testing import logs, metrics, spans
from tests.otlp import random_plans
from tests.otlp import view_oracle as oracle
from tests.otlp.strategies import checked, field, payload

SEEDS = st.integers(0, 2**32)


def any_batch(random):
    """A batch of any encoding: with every field of the schema, or with few fields and odd attributes."""
    if random.random() < 0.3:
        batch = random_plans.batch(random)
        return accept(batch.signal, batch.payload)
    signal = random.choice(list(Signal))
    return accept(signal, payload(random, signal))


def parsed(batch):
    """What the bytes mean, in a form in which NaN equals itself."""
    return batch.proto().SerializeToString(deterministic=True)


def nodes_of(view, batch, message):
    """All nodes of a batch."""
    entries = oracle.pairs(view, batch.signal, message)
    return entries, [node for entry in entries for node in entry.all()]


@checked
@given(SEEDS)
def test_views_read_what_protobuf_reads(seed):
    """Every field of every message, in any encoding; and reading changes nothing."""
    batch = any_batch(Random(seed))

    def look(view):
        for node in nodes_of(view, batch, batch.proto())[1]:
            oracle.compare(node)

    assert edit(batch, look) is batch


@checked
@given(SEEDS)
def test_views_change_what_protobuf_changes(seed):
    """Any sequence of changes, on any messages, means the same on bytes; what is not known stays."""
    random = Random(seed)
    batch = any_batch(random)
    message = batch.proto()

    def work(view):
        nodes = nodes_of(view, batch, message)[1]
        for _ in range(random.randrange(12) if nodes else 0):
            node = random.choice(nodes)
            oracle.change(random, node)
            oracle.compare(node)
        oracle.settle(nodes)

    assert parsed(edit(batch, work)) == message.SerializeToString(deterministic=True)


@checked
@given(SEEDS)
def test_views_drop_what_protobuf_drops(seed):
    """Items, and all that holds them; containers that lose all their items go too, and the count is right."""
    random = Random(seed)
    batch = any_batch(random)
    message = batch.proto()

    def work(view):
        entries, nodes = nodes_of(view, batch, message)
        share = random.choice([0.1, 0.5, 0.9])
        for node in nodes:
            if random.random() < 0.2:
                oracle.change(random, node)
            if random.random() < (share if not node.below else 0.1):
                oracle.drop(node)
        oracle.settle(nodes)
        oracle.take_out(message, entries)

    after = edit(batch, work)
    assert parsed(after) == message.SerializeToString(deterministic=True)
    assert after.items == accept(batch.signal, after.payload).items


# ---- attributes as a dictionary


def on_span(function, **attributes):
    """What a function makes of the attributes of one span, as a dictionary."""

    def prepare(view):
        view.spans[0].attributes.clear()
        view.spans[0].attributes.update(attributes)

    def look(view):
        found.update(view.spans[0].attributes)

    found = {}
    edit(edit(edit(spans(1), prepare), lambda view: function(view.spans[0].attributes)), look)
    return found


def test_attributes_are_a_dictionary():
    """They have every method that a dictionary has."""

    def work(attributes):
        assert isinstance(attributes, MutableMapping)
        assert attributes.pop("a") == 1
        assert attributes.pop("a", None) is None
        assert attributes.setdefault("b", 5) == 2
        attributes.setdefault("c", 3)
        attributes |= {"d": 4}
        assert attributes == {"b": 2, "c": 3, "d": 4}
        assert sorted(attributes.values()) == [2, 3, 4]
        for key in attributes:
            del attributes[key]
        assert not attributes
        with pytest.raises(KeyError, match="b"):
            attributes["b"]
        with pytest.raises(KeyError):
            del attributes["b"]
        attributes["e"] = 5

    assert on_span(work, a=1, b=2) == {"e": 5}


@pytest.mark.parametrize("value", ["", "é", True, 0, -(2**63), 2**63 - 1, 0.5, b"\x00", [1, ["a"]], {"k": None}])
def test_what_is_set_is_read(value):
    """Of every type, and with the same type."""

    def work(attributes):
        attributes["x"] = value
        assert repr(attributes["x"]) == repr(value)

    assert repr(on_span(work)["x"]) == repr(value)


def test_attributes_may_be_replaced_as_a_whole():
    """By assignment; `|=` on the span's own changes them too."""

    def work(view):
        view.spans[0].attributes = {"n": 5, "new": 1}
        view.spans[0].attributes |= {"more": 2}

    def look(view):
        assert view.spans[0].attributes == {"n": 5, "new": 1, "more": 2}

    edit(edit(spans(1), work), look)


def test_numpy_values_are_taken():
    """A scalar of numpy's is the plain value, an array a list."""

    def work(attributes):
        attributes.update({"int": np.int64(5), "bool": np.bool_(True), "float": np.float32(0.5), "list": np.arange(2)})

    assert on_span(work) == {"int": 5, "bool": True, "float": 0.5, "list": [0, 1]}


@pytest.mark.parametrize("value", [2**63, float("nan"), "\ud800", object(), None, {1: 2}, {"a": {1}}])
def test_what_otlp_cannot_hold_is_refused(value):
    """Where it is set, and nothing changes by it."""

    def work(attributes):
        with pytest.raises(ValueError):
            attributes["x"] = value

    assert on_span(work, x="before") == {"x": "before"}


@pytest.mark.parametrize(("name", "value", "error"), [
    ("name", 5, TypeError), ("name", None, TypeError), ("kind", "server", TypeError), ("kind", True, TypeError),
    ("start_time", -1, ValueError), ("start_time", 2**64, ValueError), ("trace_id", "abc", ValueError),
    ("trace_id", "ab", ValueError), ("duration", 5, AttributeError), ("events", (), AttributeError),
    ("attributes", {"a": object()}, ValueError), ("nmae", "x", AttributeError),
])  # fmt: skip
def test_wrong_values_of_fields_are_refused(name, value, error):
    """With an error that names the field, and nothing changes by it."""

    def work(view):
        with pytest.raises(error):
            setattr(view.spans[0], name, value)

    batch = spans(1)
    assert edit(batch, work) is batch


def test_setting_what_is_there_changes_nothing():
    """The same object comes back, so that nothing downstream has to be made anew."""
    batch = spans(3)

    def work(view):
        for span in view.spans:
            span.attributes["http.route"] = "/{n}"

    assert edit(batch, work) is batch


def test_of_equal_keys_the_first_counts():
    """As in the other processors; setting it removes the others."""
    data = TracesData()
    span = data.resource_spans.add().scope_spans.add().spans.add()
    for value in ("first", "second"):
        span.attributes.add(key="a").value.string_value = value
    batch = Batch.from_proto(data)

    def work(view):
        attributes = view.spans[0].attributes
        assert (attributes["a"], len(attributes), dict(attributes)) == ("first", 1, {"a": "first"})
        attributes["a"] = "third"

    assert [pair.value.string_value for pair in _only_span(edit(batch, work)).attributes] == ["third"]


def _only_span(batch):
    return batch.proto().resource_spans[0].scope_spans[0].spans[0]


def test_arrays_and_maps_are_edited_in_place():
    """What was read is written back when the call is over; what was assigned is copied at once."""
    mine = {"count": 1}

    def work(view):
        record = view.logs[0]
        record.body = mine
        mine["count"] = 2
        record.body["user"] = {"name": "ada"}
        record.body["user"]["name"] = "eve"
        record.attributes["list"] = [1]
        record.attributes["list"].append(2)
        del record.attributes["n"]

    def look(view):
        assert view.logs[0].body == {"count": 1, "user": {"name": "eve"}}
        assert view.logs[0].attributes["list"] == [1, 2]

    edit(edit(logs(1), work), look)


def test_what_was_edited_and_then_replaced_is_not_written():
    """The last word counts."""

    def work(attributes):
        value = attributes["a"]
        attributes["a"] = "new"
        value.append(1)
        gone = attributes["b"]
        del attributes["b"]
        gone.append(1)

    assert on_span(work, a=[0], b=[0]) == {"a": "new"}


def test_edited_in_place_to_what_otlp_cannot_hold():
    """The call fails, and nothing is written."""
    with pytest.raises(ValueError, match="cannot hold a value of type object"):
        on_span(lambda attributes: attributes["a"].append(object()), a=[0])


# ---- columns


def test_columns_have_the_types_of_their_values():
    """Integers, floats where some are missing, booleans, else objects."""

    def work(view):
        view.spans[0].attributes["flag"] = True
        found = view.columns("attributes.n", "duration", "attributes.flag", "service.name", "attributes.none")
        assert [(path, str(values.dtype)) for path, values in found.items()] == [
            ("attributes.n", "int64"), ("duration", "int64"), ("attributes.flag", "object"),
            ("service.name", "object"), ("attributes.none", "object"),
        ]  # fmt: skip
        del view.spans[0].attributes["n"]
        assert np.isnan(view.columns("attributes.n")["attributes.n"]).tolist() == [True, False, False]

    edit(spans(3), work)


def test_columns_of_every_signal():
    """With what the items lie in; a field that only some kinds of points have is missing in the others."""

    def points(view):
        found = view.columns("value", "metric.name", "metric.type", "scope.name", "resource.attributes.service.name")
        assert [values.tolist()[0] for values in found.values()] == [
            0, "queue.size", "gauge", "sluiceway.testing", "cart",
        ]  # fmt: skip
        assert view.columns("count")["count"].tolist() == [None, None]

    edit(metrics(2), points)
    edit(logs(2), lambda view: view.values("body") == ["record 0", "record 1"] or pytest.fail("wrong bodies"))
    edit(logs(1), lambda view: view.columns("body")["body"].tolist() == ["record 0"] or pytest.fail("wrong body"))


def test_frame_is_a_polars_data_frame():
    """With nulls for what is missing."""

    def work(view):
        frame = view.frame("name", "attributes.n", "attributes.none")
        assert frame.filter(frame["attributes.n"] > 0).height == 2
        view.keep(frame["attributes.n"] == 1)
        view.set("name", frame["name"].head(1))

    after = edit(spans(3), work)
    assert (after.items, _only_span(after).name) == (1, "GET /0")


def test_columns_are_written():
    """One value for all or one for each; None, NaN and what `where` leaves out stay as they were."""

    def work(view):
        view.set("attributes.team", "shop")
        view.set("attributes.score", np.array([0.5, np.nan, 2.0]))
        view.set("status.code", 2, where=[True, False, False])
        view.set("name", ["a", None, "c"])

    def look(view):
        assert [span.attributes["team"] for span in view.spans] == ["shop"] * 3
        assert [span.attributes.get("score") for span in view.spans] == [0.5, None, 2.0]
        assert [span.status.code for span in view.spans] == [2, 0, 0]
        assert [span.name for span in view.spans] == ["a", "GET /1", "c"]

    edit(edit(spans(3), work), look)


def test_an_iterator_goes_on_where_it_is():
    """A walk that is taken up again, as by `islice`, does not begin anew; one of its own does."""

    def look(view):
        walk = iter(view.spans)
        assert iter(walk) is walk
        assert [span.name for span in islice(walk, 2)] == ["GET /0", "GET /1"]
        assert [span.name for span in walk] == ["GET /2"]
        assert next(iter(view.spans)).name == "GET /0"

    edit(spans(3), look)


def test_items_that_were_dropped_have_no_place_in_columns():
    """A mask is as long as what is left."""

    def work(view):
        view.keep(np.array([True, False, True]))
        assert view.columns("name")["name"].tolist() == ["GET /0", "GET /2"]
        view.keep([False, True])
        assert [span.name for span in view.spans] == ["GET /2"]

    assert edit(spans(3), work).items == 1


@pytest.mark.parametrize(("call", "told"), [
    (lambda view: view.columns("nmae"), 'no item has a column "nmae" \\(there are: .*name'),
    (lambda view: view.columns("events"), "no item has a column"),
    (lambda view: view.columns("resource.nmae"), "there are: dropped_attributes_count, schema_url, attributes"),
    (lambda view: view.set("service.name", "x"), "belongs to more than one item"),
    (lambda view: view.set("name", ["x"]), "1 values for 2 items"),
    (lambda view: view.set("name", "x", where=[True]), "1 flags for 2 items"),
    (lambda view: view.keep([True]), "1 flags for 2 items"),
])  # fmt: skip
def test_wrong_columns_are_refused(call, told):
    """With what would be right."""
    with pytest.raises(ValueError, match=told):
        edit(spans(2), call)


# ---- hostile code


def views_of(view):
    """One of each kind that a batch of spans has."""
    span = view.spans[0]
    return view, view.spans, iter(view.spans), span, span.attributes, span.status, span.resource, span.scope


TOUCHES = [
    lambda view: len(view.items), lambda spans: spans[0], next, lambda span: span.name,
    lambda attributes: attributes.get("n"), lambda status: setattr(status, "code", 1),
    lambda resource: resource.attributes, lambda scope: scope.drop(),
]  # fmt: skip


def test_views_that_outlive_the_call_raise():
    """Each of them, whatever is done with it, after the call has ended well or not."""
    kept = []
    edit(spans(2), lambda view: kept.extend(views_of(view)))
    with pytest.raises(ZeroDivisionError):
        edit(spans(2), lambda view: kept.extend(views_of(view)) or 1 / 0)
    gc.collect()
    for held, touch in zip(kept, TOUCHES * 2, strict=True):
        with pytest.raises(RuntimeError, match="whose call is over: keep values, not views"):
            touch(held)


def test_views_are_made_by_their_batch_only():
    """Nobody else can make one that stands on nothing."""
    for kind in (Span, Attributes, type(BatchView(spans(1)).items)):
        with pytest.raises(TypeError, match="is made by its batch"):
            kind()
        with pytest.raises(TypeError, match="is made by its batch"):
            len(kind.__new__(kind)) if kind is not Span else kind.__new__(kind).name
    with pytest.raises(TypeError):
        Span.name.__get__(object(), Span)
    with pytest.raises(TypeError):
        copy.copy(BatchView(spans(1)).spans[0])


def test_views_of_one_span_are_equal():
    """They can be put into sets, and see each other's changes."""

    def work(view):
        one, other = view.spans[0], view.spans[0]
        one.name = "x"
        assert (one == other, other.name, len({one, other}), one == view.spans[1]) == (True, "x", 1, False)

    edit(spans(2), work)


class Reentrant(dict):
    """A value that changes what it is about to be put into, and even ends the call, while it is encoded."""

    def __init__(self, act):
        super().__init__(a=1)
        self.act = act

    def items(self):
        self.act()
        return super().items()


def test_values_may_run_code_of_their_own():
    """Also such that changes the same attributes, or ends the call in the middle."""

    def grow(view):
        attributes = view.spans[0].attributes

        def act():
            for number in range(100):
                attributes[f"more.{number}"] = number

        attributes["x"] = Reentrant(act)
        assert len(attributes) == 104

    edit(spans(1), grow)
    view = BatchView(spans(1))
    attributes = view.spans[0].attributes
    with pytest.raises(RuntimeError):
        attributes["x"] = Reentrant(view.close)
    view = BatchView(spans(1))
    record = view.spans[0]
    with pytest.raises(RuntimeError):
        record.attributes["x"] = Reentrant(lambda: record.drop() or view.finish())


def test_threads_may_share_a_batch():
    """They may come too late, and each of their changes is whole."""

    def hammer(number):
        try:
            while True:  # until it is too late
                for span in view.spans:
                    span.attributes[f"thread.{number}"] = number
                    span.name = f"{number}"
                    dict(span.attributes)
        except RuntimeError:
            late.append(number)

    late = []
    view = BatchView(spans(50))
    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while not all(f"thread.{number}" in view.spans[0].attributes for number in range(4)):
        pass
    after = view.finish()
    for thread in threads:
        thread.join()
    assert sorted(late) == [0, 1, 2, 3]
    assert accept(Signal.TRACES, after.payload).items == 50


def test_the_data_of_a_metric_has_no_view():
    """Its points have: what lies between them and the metric is not handed out as something else."""
    with pytest.raises(ValueError, match="has no view"):
        list(BatchView(metrics(1))._draft.views(4))


def test_payload_that_is_no_otlp_is_refused():
    """Whoever makes a batch of anything is told, and nothing is read beyond its end."""
    batch = spans(1)
    for cut in range(1, len(batch.payload)):
        broken = batch.with_payload(batch.payload[:-cut])
        with pytest.raises(ValueError, match="not OTLP"):
            edit(broken, lambda view: [span.attributes.copy() for span in view.spans])


def test_many_attributes_cost_their_number():
    """A sender with a hundred thousand attributes on a span does not make a reader of all of them wait."""
    data = TracesData()
    span = data.resource_spans.add().scope_spans.add().spans.add()
    for number in range(100_000):
        span.attributes.add(key=f"{number}").value.int_value = number
    batch = Batch.from_proto(data)
    started = time.process_time()
    edit(batch, lambda view: len(dict(view.spans[0].attributes.items())) == 100_000 or pytest.fail("some are missing"))
    assert time.process_time() - started < 5


def test_a_message_in_many_pieces_is_joined_in_one_go():
    """The time, and the memory, grow with the pieces, not with their square."""
    piece = field(5, 2, field(5, 2, field(1, 2, field(1, 2, b"a"))))
    record = piece * 20_000 + field(5, 2, field(1, 2, b"last"))
    batch = Batch(Signal.LOGS, field(1, 2, field(2, 2, field(2, 2, record))), 1)
    start = time.thread_time()
    bodies = []
    edit(batch, lambda view: bodies.extend(log.body for log in view.logs))
    assert time.thread_time() - start < 0.1
    assert bodies == ["last"]
