"""Dropping: the kernel takes out what the oracle takes out, counts it, and fuses with edits."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.errors import PermanentError
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.conditions import And, Attribute, Compare, Constant, FieldOf, Matches, Or, Rule
from sluiceway.otlp.levels import Level
from sluiceway.otlp.plan import Drop, Plan, Put
from tests.otlp import naive, naive_conditions, random_conditions
from tests.otlp.oracle import items_in
from tests.otlp.strategies import checked, field
from tests.processors.samples import spans

A = Attribute(Level.ITEM, "a")
MANY = {
    "of one attribute": [Compare(A, "==", f"v{n}") for n in range(10_000)],
    "of many attributes": [Compare(Attribute(Level.ITEM, f"k{n}"), "==", n) for n in range(10_000)],
    "with more": [And((Compare(A, "==", f"v{n}"), Matches(FieldOf("span.name"), "^x"))) for n in range(10_000)],
}
SEEDS = st.integers(0, 2**32)


def parsed(batch):
    """What the bytes mean, in a form in which NaN equals itself."""
    return batch.proto().SerializeToString(deterministic=True)


@checked
@given(SEEDS)
def test_a_drop_takes_out_what_the_oracle_takes_out(seed):
    """For any batch and any rules, the bytes that are left parse to the message that is left, with its items."""
    for number in range(4):
        random = Random(seed + number)
        batch = random_conditions.batch(random)
        drop = random_conditions.drop(random, batch.signal)
        message = batch.proto()
        gone = naive.drop(drop, batch.signal, message)
        outcome = Plan([drop]).outcome(batch)
        assert parsed(outcome.batch) == message.SerializeToString(deterministic=True)
        assert (outcome.tallies[0][0], outcome.batch.items) == (gone, items_in(message))


def test_a_body_in_many_pieces_is_joined_in_one_go():
    """The time, and the memory, grow with the pieces, not with their square."""
    piece = field(5, 2, field(5, 2, field(1, 2, field(1, 2, b"a"))))
    record = piece * 20_000 + field(5, 2, field(1, 2, b"last"))
    batch = Batch(Signal.LOGS, field(1, 2, field(2, 2, field(2, 2, record))), 1)
    plan = Plan([Drop(Level.ITEM, (Rule(Compare(FieldOf("log.body"), "==", "last")),))])
    start = time.thread_time()
    assert plan.outcome(batch).tallies[0][0] == 1
    assert time.thread_time() - start < 0.1


@checked
@given(SEEDS)
def test_edits_and_drops_in_one_walk_do_what_they_do_in_turn(seed):
    """A sum of plans gives the bytes and the tallies that running them one after the other gives."""
    for number in range(2):
        random = Random(seed + number)
        batch = random_conditions.batch(random)
        parts = random_conditions.parts(random, batch.signal)
        outcome = sum((Plan(part) for part in parts), Plan()).outcome(batch)
        message = batch.proto()
        tallies = naive.run_dropping(parts, batch.signal, message)
        assert [tally[0] for tally in outcome.tallies] == tallies
        assert parsed(outcome.batch) == message.SerializeToString(deterministic=True)
        assert outcome.batch.items == items_in(message)


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("shape", ["rules", "one rule"])
def test_ten_thousand_conditions_are_found_by_what_they_need(name, shape):
    """Each of them still says what it says alone; a batch of 512 spans costs a few milliseconds."""
    conditions = MANY[name]
    rules = tuple(map(Rule, conditions)) if shape == "rules" else (Rule(Or(tuple(conditions))),)
    plan = Plan([Drop(Level.ITEM, rules)])
    batch = spans(512, a="w", k5=6, k="v")
    before = time.process_time()
    assert plan.run(batch) is batch
    assert time.process_time() - before < 0.1
    hit = spans(1, name="x", a="v9999", k77=77)
    assert plan.outcome(hit).batch.items == 0


@checked
@given(SEEDS)
def test_a_strict_rule_that_fails_refuses_the_batch(seed):
    """If it is reached: where nothing fails before something holds, strictness changes nothing."""
    random = Random(seed)
    batch = random_conditions.batch(random)
    drop = random_conditions.drop(random, batch.signal)
    strict = Drop(drop.level, tuple(Rule(rule.condition, strict=True) for rule in drop.where), signal=drop.signal)
    message = batch.proto()
    try:
        gone = naive.drop(strict, batch.signal, message)
    except naive_conditions.FailedError:
        with pytest.raises(PermanentError):
            Plan([strict]).outcome(batch)
    else:
        assert Plan([strict]).outcome(batch).tallies[0][0] == gone


def test_an_event_that_goes_leaves_what_is_put_behind_it():
    """An attribute that is added stands behind the last event, and the next span goes as well."""
    message = TracesData()
    made = message.resource_spans.add().scope_spans.add().spans
    made.add(name="a").events.add(name="e")
    made.add(name="b")
    plan = Plan([
        Put(Level.ITEM, "k", 1),
        Drop(Level.EVENT, (Rule(Constant(True)),)),
        Drop(Level.ITEM, (Rule(Compare(FieldOf("span.name"), "==", "b")),)),
    ])  # fmt: skip
    outcome = plan.outcome(Batch.from_proto(message))
    (left,) = outcome.batch.proto().resource_spans[0].scope_spans[0].spans
    assert (left.name, len(left.events), left.attributes[0].key, outcome.batch.items) == ("a", 0, "k", 1)


def test_a_drop_cannot_depend_on_what_is_below_it():
    """Whether a resource goes is known before its spans are."""
    rule = Rule(Compare(FieldOf("span.name"), "==", "x"))
    with pytest.raises(ValueError, match="what drops a resource cannot depend on what is below it"):
        Plan([Drop(Level.RESOURCE, (rule,))])
