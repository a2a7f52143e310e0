"""Sampling: decisions and marks are the specification's, on random items and on vectors worked out by hand."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.plan import Plan, Sample, encode_value
from sluiceway.otlp.sampling import threshold_of
from tests.otlp import naive_sampling
from tests.otlp.strategies import checked

SEEDS = st.integers(0, 2**32)
STATES = [
    "", "", "", "ot=th:8", "ot=rv:80000000000000", "ot=rv:ffffffffffffff;th:c", "a=b", "a=b,ot=th:0;x:y , c@d=e",
    "ot=th:1;th:2", "ot=rv:1", "ot=th:", "ot=th:zz", "ot=;", "ot=th:8;", "OT=x", "ot=x:y,ot=th:4", " , a=b,,", "a=",
    "=b", "a", "ot=rv:00000000000001;th:fffffffffffff1;p:8", "x" * 1100, ",".join(f"k{n}=v" for n in range(31)),
    ",".join(f"k{n}=v" for n in range(32)), "a=" + "v" * 257, "1@a=b", "ot=a:" + "b" * 260, "ot=th:ABCDEF",
    "k=v ,ot=th:8",
]  # fmt: skip
PRIORITIES = [None] * 8 + [0, 1, -1, 0.0, 0.5, "0", "1", "2.5", "x", "", True, "1e400", " 1"]
PERCENTAGES = [0, 100, 250, 50, 25, 15.3, 1, 0.01, 1e-6, 99.99, 75]


def sample(random):
    """Any sampler."""
    return Sample(
        random.choice(PERCENTAGES),
        random.choice(["hash_seed", "equalizing", "proportional"]),
        seed=random.choice([0, 1, 22, 2**32 - 1]),
        fail_closed=random.random() < 0.5,
        precision=random.choice([1, 3, 4, 14]),
        from_trace_id=random.random() < 0.7,
        attribute=random.choice(["", "id"]),
        priority=random.choice(["", "priority"]),
    )


def _trace_id(random):
    return random.choice([random.randbytes(16), random.randbytes(16), bytes(16), b""])


def _attributes(random, holder, pairs):
    for key, values in pairs.items():
        value = random.choice(values)
        if value is not None:
            holder.add(key=key).value.MergeFromString(encode_value(value))


def _spans(random):
    message = TracesData()
    scope = message.resource_spans.add().scope_spans.add()
    for _ in range(20):
        span = scope.spans.add(trace_id=_trace_id(random), trace_state=random.choice(STATES), name="s")
        _attributes(random, span.attributes, {"a": ["b", None], "sampling.priority": PRIORITIES})
    return Batch(Signal.TRACES, message.SerializeToString(), 20)


def _records(random):
    message = LogsData()
    scope = message.resource_logs.add().scope_logs.add()
    for _ in range(20):
        record = scope.log_records.add(trace_id=_trace_id(random))
        pairs = {
            "id": [None, "x", 5, b"\0", "", 1.5, [1], True, f"{random.random()}"],
            "priority": [None, None, 0, 1, 50, 99.9, 100, 250, -3, "70"],
            "sampling.threshold": [None, None, None, "8", "0", "fff", "x", 5, ""],
            "sampling.randomness": [None, None, None, "80000000000000", "1", "ffffffffffffff", False],
        }
        _attributes(random, record.attributes, pairs)
    return Batch(Signal.LOGS, message.SerializeToString(), 20)


@checked
@given(SEEDS)
def test_spans_are_sampled_as_the_specification_says(seed):
    """Which spans are kept, and the tracestate of each, for every mode and any tracestate."""
    random = Random(seed)
    for _ in range(4):
        chosen, batch = sample(random), _spans(random)
        message = batch.proto()
        scope = message.resource_spans[0].scope_spans[0]
        kept = [span for span in scope.spans if naive_sampling.sample_span(chosen, span)]
        outcome = Plan([chosen]).outcome(batch)
        left = [span for entry in outcome.batch.proto().resource_spans for span in entry.scope_spans[0].spans]
        assert left == kept
        assert (outcome.batch.items, outcome.tallies[0][0]) == (len(kept), 20 - len(kept))
        assert sum(outcome.tallies[0][2:]) == 20


@checked
@given(SEEDS)
def test_records_are_sampled_as_the_specification_says(seed):
    """Which log records are kept, and their _attributes, for every mode and any attributes."""
    random = Random(seed)
    for _ in range(4):
        chosen, batch = sample(random), _records(random)
        message = batch.proto()
        scope = message.resource_logs[0].scope_logs[0]
        kept = [record for record in scope.log_records if naive_sampling.sample_log(chosen, record)]
        outcome = Plan([chosen]).outcome(batch)
        left = [record for entry in outcome.batch.proto().resource_logs for record in entry.scope_logs[0].log_records]
        assert left == kept
        assert sum(outcome.tallies[0][2:]) == 20


@pytest.mark.parametrize(
    ("probability", "precision", "threshold"),
    [
        (1, 4, "0"),
        (0.5, 4, "8"),
        (0.25, 4, "c"),
        (1 / 3, 4, "aaab"),
        (1 / 3, 14, "aaaaaaaaaaaaac"),
        (2 / 3, 4, "5555"),
        (0.01, 4, "fd70a"),
        (0.99, 4, "028f6"),
        (2.0**-56, 4, "ffffffffffffff"),
    ],
)
def test_a_probability_has_the_threshold_of_the_specification(probability, precision, threshold):
    """Vectors from the tables of OpenTelemetry's specification of tracestate probability sampling."""
    assert naive_sampling.th(threshold_of(probability, precision)) == threshold


def test_the_hash_is_fnv_1a():
    """The published vectors: of nothing, and of `foobar`."""
    assert naive_sampling.fnv(b"") == 0x811C9DC5
    assert naive_sampling.fnv(b"foobar") == 0xBF9CF968


def test_two_samplers_in_one_walk_do_what_they_do_in_turn():
    """The second sees the tracestate that the first has written."""
    first, second = Plan([Sample(50, "proportional")]), Plan([Sample(50, "proportional")])
    batch = _spans(Random(7))
    assert (first + second).run(batch) == second.run(first.run(batch))


def test_metrics_pass_a_sampler():
    """It is about spans and log records."""
    batch = Batch(Signal.METRICS, b"\x0a\x00", 0)
    assert Plan([Sample(0)]).run(batch) is batch
