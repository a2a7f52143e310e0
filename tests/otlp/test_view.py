"""Views: what is done to plain objects is done to the bytes, as it would be to protobuf objects."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.otlp import Signal, accept
from sluiceway.otlp.view import edit
from tests.otlp import random_plans
from tests.otlp import view_oracle as oracle
from tests.otlp.strategies import checked, payload

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
