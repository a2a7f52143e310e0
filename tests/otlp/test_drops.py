"""Dropping: the kernel takes out what the oracle takes out, counts it, and fuses with edits."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.otlp.plan import Plan
from tests.otlp import naive, random_conditions
from tests.otlp.oracle import items_in
from tests.otlp.strategies import checked

SEEDS = st.integers(0, 2**32)


def parsed(batch):
    """What the bytes mean, in a form in which NaN equals itself."""
    return batch.proto().SerializeToString(deterministic=True)


@checked
@given(SEEDS)
def test_a_drop_takes_out_what_the_oracle_takes_out(seed):
    """For any batch and any rules, the bytes that are left parse to the message that is left, with its items."""
    for number in range(10):
        random = Random(seed + number)
        batch = random_conditions.batch(random)
        drop = random_conditions.drop(random, batch.signal)
        message = batch.proto()
        gone = naive.drop(drop, batch.signal, message)
        outcome = Plan([drop]).outcome(batch)
        assert parsed(outcome.batch) == message.SerializeToString(deterministic=True)
        assert (outcome.tallies[0][0], outcome.batch.items) == (gone, items_in(message))


@checked
@given(SEEDS)
def test_edits_and_drops_in_one_walk_do_what_they_do_in_turn(seed):
    """A sum of plans gives the bytes and the tallies that running them one after the other gives."""
    for number in range(5):
        random = Random(seed + number)
        batch = random_conditions.batch(random)
        parts = random_conditions.parts(random, batch.signal)
        outcome = sum((Plan(part) for part in parts), Plan()).outcome(batch)
        message = batch.proto()
        tallies = naive.run_dropping(parts, batch.signal, message)
        assert [tally[0] for tally in outcome.tallies] == tallies
        assert parsed(outcome.batch) == message.SerializeToString(deterministic=True)
        assert outcome.batch.items == items_in(message)
