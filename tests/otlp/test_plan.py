"""Plans: on bytes they do what a plain program does on protobuf objects, for every action, signal and odd encoding."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.plan import (
    Convert,
    Copy,
    Extract,
    Hash,
    Level,
    Match,
    Plan,
    Put,
    Remove,
    Selection,
    Slot,
    decode_value,
    encode_value,
)  # fmt: skip
from tests.otlp import naive, random_plans
from tests.otlp.strategies import checked, field, payload

RESOURCE, SCOPE, ITEM = Level.RESOURCE, Level.SCOPE, Level.ITEM
SLOTS = (Slot(), Slot())
SEEDS = st.integers(0, 2**32)


def traces(*attributes, resource=(), spans=1, scope=True):
    """A batch of spans that all have the attributes, given as pairs of a key and a value."""
    message = TracesData()
    entry = message.resource_spans.add()
    put_all(entry.resource.attributes, resource)
    scope_entry = entry.scope_spans.add()
    if scope:
        scope_entry.scope.name = "lib"
    for number in range(spans):
        put_all(scope_entry.spans.add(name=f"GET /{number}", kind=2).attributes, attributes)
    return Batch(Signal.TRACES, message.SerializeToString(), spans)


def put_all(attributes, pairs):
    """Append attributes."""
    for key, value in pairs:
        attributes.add(key=key).value.MergeFromString(encode_value(value))


def pairs_of(attributes):
    """Attributes as pairs of a key and a Python value."""
    return [(kv.key, decode_value(kv.value.SerializeToString())) for kv in attributes]


def of_spans(batch):
    """The attributes of all spans, as lists of pairs."""
    return [
        pairs_of(span.attributes)
        for entry in batch.proto().resource_spans
        for scope in entry.scope_spans
        for span in scope.spans
    ]


def of_resource(batch):
    """The attributes of the first resource."""
    return pairs_of(batch.proto().resource_spans[0].resource.attributes)


def after(actions, *attributes):
    """The attributes of one span after the actions."""
    return of_spans(Plan(actions).run(traces(*attributes)))[0]


def chosen(match, batch, **exclude):
    """Which items an action with the match touches."""
    plan = Plan([Put(ITEM, "chosen", True, where=Selection(match, **exclude))])
    return ["chosen" in repr(item) for item in items_of(plan.run(batch))]


def items_of(batch):
    """All spans or log records."""
    for entry in getattr(batch.proto(), f"resource_{batch.signal.value.replace('traces', 'spans')}"):
        for scope in getattr(entry, f"scope_{batch.signal.value.replace('traces', 'spans')}"):
            yield from scope.spans if batch.signal is Signal.TRACES else scope.log_records


def parsed(batch):
    """What the bytes mean, in a form in which NaN equals itself."""
    return batch.proto().SerializeToString(deterministic=True)


# ---- against the oracle


def check(random, batch):
    """Hold random plans for a batch against the oracle."""
    parts = random_plans.parts(random, SLOTS)
    message = batch.proto()
    entries = len(getattr(message, message.DESCRIPTOR.fields[0].name))
    arguments = random_plans.arguments(random, SLOTS, entries)
    naive.run(parts, batch.signal, message, arguments)
    plan = sum((Plan(part) for part in parts), Plan())
    assert parsed(plan.run(batch, arguments)) == message.SerializeToString(deterministic=True)


@checked
@given(SEEDS)
def test_plans_do_on_bytes_what_the_oracle_does_on_objects(seed):
    """For any batch and any plans, joined by `+`, the edited bytes parse to the edited message."""
    for number in range(10):
        random = Random(seed + number)
        check(random, random_plans.batch(random))


@checked
@given(SEEDS, st.sampled_from(Signal))
def test_fields_that_plans_do_not_know_stay_as_they_were(seed, signal):
    """With every field of the schema present, and any order of fields, nothing but attributes changes."""
    random = Random(seed)
    check(random, Batch(signal, payload(random, signal), 1))


@checked
@given(SEEDS)
def test_a_sum_of_plans_does_what_the_plans_do_in_turn(seed):
    """`left + right` gives the same bytes' meaning as running `left` and then `right`."""
    random = Random(seed)
    batch = random_plans.batch(random)
    left, right = (Plan(random_plans.parts(random, [])[0]) for _ in range(2))
    assert parsed((left + right).run(batch)) == parsed(right.run(left.run(batch)))


# ---- actions


@pytest.mark.parametrize(
    ("mode", "absent", "present"),
    [
        ("insert", [("b", 1), ("a", 7)], [("a", 0)]),
        ("update", [("b", 1)], [("a", 7)]),
        ("upsert", [("b", 1), ("a", 7)], [("a", 7)]),
    ],
)
def test_modes_of_put(mode, absent, present):
    """Insert adds only what is absent, update changes only what is present, upsert does both."""
    action = Put(ITEM, "a", 7, mode=mode)
    assert after([action], ("b", 1)) == absent
    assert after([action], ("a", 0)) == present


def test_put_makes_one_attribute_of_a_duplicate_key():
    """The first place keeps the key and the other places go."""
    assert after([Put(ITEM, "a", 7)], ("a", 1), ("b", 2), ("a", 3)) == [("a", 7), ("b", 2)]


def test_remove_takes_all_attributes_of_a_key():
    """A duplicate key counts as one attribute."""
    assert after([Remove(ITEM, "a")], ("a", 1), ("b", 2), ("a", 3)) == [("b", 2)]


def test_remove_by_pattern():
    """A pattern is found anywhere in a key; a key given beside it goes as well."""
    assert after([Remove(ITEM, "b", "ser")], ("user", 1), ("b", 2), ("c", 3)) == [("c", 3)]


def test_a_copy_takes_the_value_as_it_is_at_that_moment():
    """Actions see what the ones before them left; a source that is absent does nothing."""
    actions = [Put(ITEM, "a", 2), Put(ITEM, "b", Copy("a")), Remove(ITEM, "a"), Put(ITEM, "c", Copy("a"))]
    assert after(actions, ("a", [1, {"x": b"y"}])) == [("b", 2)]


def test_a_removed_attribute_that_is_put_again_stands_at_the_end():
    """Order is that of the Collector's maps."""
    assert after([Remove(ITEM, "a"), Put(ITEM, "a", 2)], ("a", 1), ("b", 1)) == [("b", 1), ("a", 2)]


def test_nothing_changed_is_the_same_batch():
    """Neither a value that is there already nor a key that is not makes a copy."""
    batch = traces(("a", 1), resource=[("r", "x")])
    plan = Plan([Put(ITEM, "a", 1), Put(RESOURCE, "r", "x"), Remove(ITEM, "b"), Put(SCOPE, "s", 1, mode="update")])
    assert plan.run(batch) is batch
    assert Plan().run(batch) is batch


def test_a_resource_and_a_scope_are_made_where_there_are_none():
    """What is inserted finds a place, also in entries without a resource and without a scope."""
    batch = Batch(Signal.TRACES, field(1, 2, field(2, 2, b"")) + field(1, 2, b""), 0)
    message = Plan([Put(RESOURCE, "r", 1), Put(SCOPE, "s", 2)]).run(batch).proto()
    assert [pairs_of(entry.resource.attributes) for entry in message.resource_spans] == [[("r", 1)]] * 2
    assert pairs_of(message.resource_spans[0].scope_spans[0].scope.attributes) == [("s", 2)]


def test_a_resource_that_stands_behind_its_spans_is_edited_first():
    """Field order is free: the selection sees the resource wherever it stands."""
    span = field(2, 2, field(2, 2, field(9, 2, field(1, 2, b"k"))))
    resource = field(1, 2, field(1, 2, field(1, 2, b"r") + field(2, 2, encode_value("x"))))
    where = Selection(Match(resources=(("r", "y"),)))
    plan = Plan([Put(RESOURCE, "r", "y"), Put(ITEM, "k", 5, where=where)])
    result = plan.run(Batch(Signal.TRACES, field(1, 2, span + resource), 1))
    assert (of_resource(result), of_spans(result)) == ([("r", "y")], [[("k", 5)]])


def test_data_points_of_every_kind_of_metric_are_items():
    """Attributes have another field number in each kind of point."""
    message = MetricsData()
    metrics = message.resource_metrics.add().scope_metrics.add().metrics
    for kind in naive.DATA:
        getattr(metrics.add(name=kind), kind).data_points.add()
    result = Plan([Put(ITEM, "a", 1)]).run(Batch(Signal.METRICS, message.SerializeToString(), 5)).proto()
    for metric in result.resource_metrics[0].scope_metrics[0].metrics:
        assert pairs_of(getattr(metric, metric.name).data_points[0].attributes) == [("a", 1)]


def test_lengths_of_all_messages_around_a_change_are_right():
    """A value that takes every enclosing length prefix from one byte to three."""
    batch = traces(("a", "x"))
    assert of_spans(Plan([Put(ITEM, "a", "y" * 20_000)]).run(batch)) == [[("a", "y" * 20_000)]]
    assert Plan([Put(ITEM, "a", "x")]).run(Plan([Put(ITEM, "a", "y" * 20_000)]).run(batch)) == batch


# ---- slots


def test_a_slot_takes_the_value_of_the_batch():
    """One value for the whole batch; None does nothing."""
    slot = Slot()
    plan = Plan([Put(ITEM, "a", slot)])
    assert of_spans(plan.run(traces(spans=2), {slot: "acme"})) == [[("a", "acme")]] * 2
    assert of_spans(plan.run(traces(), {slot: None})) == [[]]


def test_a_slot_takes_one_value_for_each_resource_entry():
    """A list is by resource entry, and None in it leaves that entry alone."""
    slot = Slot()
    batch = Batch(Signal.TRACES, traces().payload * 3, 3)
    plan = Plan([Put(ITEM, "a", slot)])
    assert of_spans(plan.run(batch, {slot: ["x", None, "z"]})) == [[("a", "x")], [], [("a", "z")]]


def test_wrong_arguments_are_refused():
    """A slot without an argument, a list of another length, and a value that OTLP cannot hold."""
    slot = Slot()
    plan = Plan([Put(ITEM, "a", slot)])
    with pytest.raises(ValueError, match="has no argument"):
        plan.run(traces())
    with pytest.raises(ValueError, match="2 values"):
        plan.run(traces(), {slot: ["x", "y"]})
    with pytest.raises(ValueError, match="64 bits"):
        plan.run(traces(), {slot: 2**64})


# ---- hash, convert, extract


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_digests_of_any_length_are_those_of_hashlib(algorithm):
    """Around the sizes where padding takes another block, and over several blocks."""
    texts = ["x" * size for size in (*range(1, 10), *range(50, 70), *range(110, 130), 1000, 70_000)]
    result = after([Hash(ITEM, pattern=".", algorithm=algorithm)], *((f"k{text}"[:150], text) for text in texts))
    assert [value for _, value in result] == [hashlib.new(algorithm, text.encode()).hexdigest() for text in texts]


def test_hash_by_key_and_pattern_hashes_every_attribute_once():
    """Duplicates too: none of a person's values may stay readable."""
    result = after([Hash(ITEM, "b", "^user")], ("user.id", "x"), ("b", "x"), ("b", "x"), ("c", "x"))
    digest = hashlib.sha1(b"x").hexdigest()
    assert result == [("user.id", digest), ("b", digest), ("b", digest), ("c", "x")]


def test_extract_puts_the_named_groups():
    """Groups overwrite attributes of their names; one that took no part is an empty string."""
    pattern = r"^/(?P<service>\w+)/(?P<id>\d+)(?P<rest>/.*)?"
    result = after([Extract(ITEM, "path", pattern)], ("id", 5), ("path", "/cart/42"))
    assert result == [("id", "42"), ("path", "/cart/42"), ("service", "cart"), ("rest", "")]


def test_extract_wants_a_string_that_matches():
    """Other kinds and other texts stay."""
    action = Extract(ITEM, "a", r"(?P<b>\d)")
    assert after([action], ("a", 5)) == [("a", 5)]
    assert after([action], ("a", "x")) == [("a", "x")]


def test_a_conversion_that_fails_leaves_the_value():
    """Only what Go's strconv takes is converted."""
    assert after([Convert(ITEM, "a", "int")], ("a", " 12")) == [("a", " 12")]
    assert after([Convert(ITEM, "a", "int")], ("a", "12")) == [("a", 12)]


def test_more_values_than_are_remembered():
    """The answers of a plan are bounded, and those that were forgotten are worked out again."""
    batch = traces(*((f"k{number}", number) for number in range(9_000)))
    result = of_spans(Plan([Remove(ITEM, pattern="^k.*[05]$"), Hash(ITEM, pattern="9$")]).run(batch))[0]
    assert len(result) == 9_000 * 8 // 10
    assert len({value for _, value in result}) == len(result)


def test_an_error_while_a_batch_is_walked_reaches_the_caller():
    """What Python raises inside the walk is not swallowed."""
    broken = field(2, 2, b"\x2a\x05\x0a\x10")
    batch = Batch(Signal.TRACES, field(1, 2, field(1, 2, field(1, 2, field(1, 2, b"a") + broken))), 0)
    with pytest.raises(ValueError, match="cut off"):
        Plan([Convert(RESOURCE, "a", "string")]).run(batch)


def test_threads_may_share_a_plan():
    """With and without the GIL, and while answers are forgotten under each other's hands."""
    plan = Plan([Put(ITEM, "b", 1), Remove(ITEM, "a")]) + Plan([Convert(RESOURCE, "n", "string")])
    batches = [traces(("a", 1), resource=[("n", number)], spans=50) for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(plan.run, batches * 4))
    assert [of_resource(result) for result in results] == [[("n", str(number))] for number in range(200)] * 4


# ---- selections


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (Match(), [True, True]),
        (Match(span_names=("GET /1", "other")), [False, True]),
        (Match(True, span_names=("/0$",)), [True, False]),
        (Match(span_kinds=("SPAN_KIND_SERVER",)), [True, True]),
        (Match(span_kinds=("client", "Producer")), [False, False]),
        (Match(True, span_kinds=("SERV",)), [True, True]),
        (Match(attributes=(("a", 1), ("b", None))), [True, True]),
        (Match(attributes=(("a", 1.0),)), [False, False]),
        (Match(attributes=(("a", "1"),)), [False, False]),
        (Match(True, attributes=(("a", "^1$"),)), [True, True]),
        (Match(attributes=(("b", [1, {"x": True}]),)), [True, True]),
        (Match(attributes=(("b", [1, {"x": 1}]),)), [False, False]),
        (Match(True, attributes=(("b", "."),)), [False, False]),
        (Match(libraries=(("other", None), ("lib", None))), [True, True]),
        (Match(libraries=(("lib", "1.0"),)), [False, False]),
        (Match(services=("shop",)), [True, True]),
        (Match(services=("<nil-service-name>",)), [False, False]),
        (Match(resources=(("service.name", "shop"), ("zone", None))), [False, False]),
        (Match(log_bodies=("",)), [False, False]),
        (Match(metric_names=("",)), [False, False]),
        (Match(log_severity_undefined=True), [False, False]),
        (Match(log_severity_texts=("",)), [False, False]),
    ],
)
def test_which_spans_a_match_selects(match, expected):
    """All properties must hold; values compare by kind; what spans do not have never holds."""
    batch = traces(("a", 1), ("b", [1, {"x": True}]), resource=[("service.name", "shop")], spans=2)
    assert chosen(match, batch) == expected


def test_a_service_without_a_name_has_the_collectors_text_for_it():
    """So that a pattern for all services finds it, too."""
    assert chosen(Match(services=("<nil-service-name>",)), traces()) == [True]
    assert chosen(Match(True, services=(".",)), traces()) == [True]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (Match(log_bodies=("slow",)), [True, False, False]),
        (Match(True, log_bodies=("^sl", '"code":5')), [True, True, False]),
        (Match(log_bodies=('{"code":5}',)), [False, True, False]),
        (Match(log_severity_texts=("WARN",)), [True, False, False]),
        (Match(log_severity_min=9), [True, False, False]),
        (Match(log_severity_min=0), [True, True, False]),
        (Match(log_severity_min=9, log_severity_undefined=True), [True, False, True]),
        (Match(log_severity_undefined=True), [False, False, True]),
        (Match(span_names=("",)), [False, False, False]),
    ],
)
def test_which_log_records_a_match_selects(match, expected):
    """Bodies count by their text, severities from a least one on."""
    message = LogsData()
    records = message.resource_logs.add().scope_logs.add().log_records
    for body, text, number in [("slow", "WARN", 13), ({"code": 5}, "INFO", 5), (None, "", 0)]:
        record = records.add(severity_text=text, severity_number=number)
        if body is not None:
            record.body.MergeFromString(encode_value(body))
    assert chosen(match, Batch(Signal.LOGS, message.SerializeToString(), 3)) == expected


def test_exclude_is_taken_from_what_include_chose():
    """Included and not excluded."""
    batch = traces(spans=3)
    chosen_spans = chosen(Match(True, span_names=("/[01]",)), batch, exclude=Match(span_names=("GET /0",)))
    assert chosen_spans == [False, True, False]


def test_actions_with_one_selection_are_decided_together():
    """An action does not take away what the next one was meant for, as in one processor of the Collector."""
    where = Selection(Match(attributes=(("a", 1),)))
    actions = [Remove(ITEM, "a", where=where), Put(ITEM, "b", 2, where=where)]
    assert after(actions, ("a", 1)) == [("b", 2)]


def test_plans_that_are_joined_decide_one_after_the_other():
    """The second plan sees what the first one left."""
    where = Selection(Match(attributes=(("a", 1),)))
    plan = Plan([Remove(ITEM, "a", where=where)]) + Plan([Put(ITEM, "b", 2, where=where)])
    assert of_spans(plan.run(traces(("a", 1)))) == [[]]


# ---- plans that cannot be


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Put(ITEM, "", 1), "the key is empty"),
        (Put(ITEM, "k", Copy("")), "k: the key is empty"),
        (Put(ITEM, "k", 2**63), "k: an integer does not fit"),
        (Put(ITEM, "k\ud800", 1), "lone surrogate"),
        (Remove(ITEM), "a key or a pattern is needed"),
        (Remove(ITEM, pattern="(?=a)"), 'invalid pattern "\\(\\?=a\\)": invalid perl operator'),
        (Hash(ITEM, "k", "("), "k: invalid pattern"),
        (Hash(ITEM, "k", r"a\\\C"), "k: invalid pattern .*invalid escape sequence"),
        (Extract(ITEM, "k", "a"), "k: the pattern contains no named matcher groups"),
        (Extract(ITEM, "k", "(a)(?P<b>.)"), "k: the pattern contains at least one unnamed matcher group"),
        (Put(ITEM, "k", 1, where=Selection(Match(span_kinds=("sever",)))), 'k: "sever" is not a span kind'),
        (Put(ITEM, "k", 1, where=Selection(Match(True, attributes=(("a", 5),)))), "only supports Str, but found Int"),
        (Put(ITEM, "k", 1, where=Selection(Match(attributes=(("", 5),)))), "can't have empty key"),
        (Put(RESOURCE, "k", 1, where=Selection(Match(span_names=("x",)))), "an action on a resource cannot depend on"),
        (Put(SCOPE, "k", 1, where=Selection(None, Match(attributes=(("a", 5),)))), "an action on a scope cannot"),
    ],
)
def test_plans_that_cannot_be_say_why_and_for_which_key(action, text):
    """A wrong plan is a `ValueError` when it is made, not when data comes."""
    with pytest.raises(ValueError, match=text):
        Plan([action])


def test_bytes_that_are_no_batch_are_refused():
    """A payload that went around `accept` ends as an error, not as a read beyond its end."""
    whole = traces(("a", 1), resource=[("b", 2)]).payload
    plan = Plan(
        [Put(RESOURCE, "x", 1), Put(SCOPE, "x", 1), Put(ITEM, "x", 1, where=Selection(Match(span_names=("",))))]
    )
    for size in range(1, len(whole)):
        with pytest.raises(ValueError, match="is not OTLP"):
            plan.run(Batch(Signal.TRACES, whole[:size], 1))


def test_a_long_walk_that_asks_python_lets_other_threads_run():
    """It holds the interpreter while it asks, and no longer."""
    batch = traces(("k", "v"), ("text", "x" * 200), spans=30_000)
    plan = Plan([Remove(ITEM, pattern="^z")])
    plan.run(traces(("k", "v"), ("text", "")))  # so that nothing is left to be asked
    interval = sys.getswitchinterval()

    def gets_between():
        begun, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: (begun.set(), plan.run(batch), done.set()))
        thread.start()
        begun.wait()
        between = not done.is_set()
        thread.join()
        return between

    sys.setswitchinterval(60)  # nobody has to give way
    try:
        assert any(gets_between() for _ in range(20))  # a busy machine may wake this thread too late
    finally:
        sys.setswitchinterval(interval)


def test_a_value_in_many_pieces_is_joined_in_one_go():
    """The time, and the memory, grow with the pieces, not with their square."""
    piece = field(2, 2, field(5, 2, field(1, 2, field(1, 2, b"a"))))
    record = field(6, 2, field(1, 2, b"k") + piece * 20_000 + field(2, 2, field(1, 2, b"last")))
    batch = Batch(Signal.LOGS, field(1, 2, field(2, 2, field(2, 2, record))), 1)
    start = time.thread_time()
    after = Plan([Put(ITEM, "copy", Copy("k"))]).run(batch)
    assert time.thread_time() - start < 0.1
    attributes = after.proto().resource_logs[0].scope_logs[0].log_records[0].attributes
    assert [(pair.key, pair.value.string_value) for pair in attributes] == [("k", "last"), ("copy", "last")]
