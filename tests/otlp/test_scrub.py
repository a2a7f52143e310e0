"""Scrubbing: on bytes it does what a plain program does on protobuf objects, in every place and every odd encoding."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.otlp import Batch
from sluiceway.otlp._asking import AskingScrubber
from sluiceway.otlp.conditions import Attribute, Compare, FieldOf, Rule
from sluiceway.otlp.places import PLACES
from sluiceway.otlp.plan import Drop, Level, Match, Plan, Remove, Sample, Scrub, Selection, Slot
from tests.otlp import naive, naive_scrub, random_conditions, random_plans
from tests.otlp.strategies import checked, payloads

SLOTS = (Slot(), Slot())
SEEDS = st.integers(0, 2**32)
TEXTS = [text.encode() for text in ("http.method", "GET /api", "naïve", "日本", "🦆", "x" * 130, "service.name")]


def settled(message):
    """What a message means, in a form in which NaN equals itself.

    A resource or scope in which nothing is counts as none: one that was made for an attribute may stay behind.
    """
    for entry in getattr(message, message.DESCRIPTOR.fields[0].name):
        for holder, name in ((entry, "resource"), *((scope, "scope") for scope in scopes_of(entry))):
            if not getattr(holder, name).SerializeToString():
                holder.ClearField(name)
    return message.SerializeToString(deterministic=True)


def scopes_of(entry):
    """The scopes of a resource entry of any signal."""
    return getattr(entry, entry.DESCRIPTOR.fields_by_number[2].name)


class Dice:
    """Judges what it is shown by a hash of it: some stays, some changes, some goes."""

    def __init__(self, seed):
        self.seed = seed

    def roll(self, *shown):
        """A number below 8 that is always the same for the same thing."""
        return sha256(repr((self.seed, *shown)).encode()).digest()[0] % 8

    def key(self, place, key):
        """Mostly look."""
        return ("look", "look", "look", "look", "look", "whole", "keep", "drop")[self.roll("key", place, key)]

    def whole(self, place, key, value):
        """The value, or another of another kind, or None."""
        return (value, value, value, "****", [key, {"k": 1}], "", b"x" * 200, None)[self.roll("whole", place, key)]

    def rename(self, place, key):
        """The key, or another, or a long one, or none."""
        return (key, key, key, key, key, f"{key}*", "k" * 200, "")[self.roll("rename", place, key)]

    def value(self, place, key, value):
        """The value, or another, or None."""
        return (value, value, value, "****", f"{place}.{key}={value!r}" * 9, 7, b"", None)[self.roll(place, key, value)]

    def text(self, place, text):
        """The text, or another, or none."""
        return (text, text, text, text, "****", f"{place}={text}" * 20, "x", "")[self.roll("text", place, text)]


def check(signal, raw, seed):
    """Hold a scrub of some places against the oracle."""
    random = Random(seed)
    where = ["all"] if random.random() < 0.5 else random.sample(PLACES, random.randint(1, 4))
    batch = Batch(signal, raw, 1)
    message = batch.proto()
    for entry in getattr(message, message.DESCRIPTOR.fields[0].name):
        naive_scrub.scrub(signal, entry, Dice(seed), where)
    scrubbed = Plan([Scrub(AskingScrubber(Dice(seed), where))]).run(batch)
    assert settled(scrubbed.proto()) == settled(message)


@checked
@given(payloads(), SEEDS)
def test_scrubs_do_on_bytes_what_the_oracle_does_on_objects(wire, seed):
    """For any batch in any encoding and any places, the scrubbed bytes parse to the scrubbed message."""
    check(*wire, seed)


def a_scrub(random):
    """A scrub of some places, or of all."""
    where = ["all"] if random.random() < 0.5 else random.sample(PLACES, random.randint(1, 4))
    return Scrub(AskingScrubber(Dice(random.random()), where))


def check_among_others(random):
    """Hold plans with scrubs among them against the oracle."""
    batch = random_plans.batch(random)
    parts = random_plans.parts(random, SLOTS)
    for _ in range(random.randint(1, 2)):
        parts.insert(random.randint(0, len(parts)), [a_scrub(random)])
    message = batch.proto()
    entries = len(getattr(message, message.DESCRIPTOR.fields[0].name))
    arguments = random_plans.arguments(random, SLOTS, entries)
    naive.run(parts, batch.signal, message, arguments)
    plan = sum((Plan(part) for part in parts), Plan())
    assert settled(plan.run(batch, arguments).proto()) == settled(message)


@checked
@given(SEEDS)
def test_scrubs_and_other_actions_take_effect_in_their_order(seed):
    """Plans with scrubs among them do what running one after the other would, what they select by included."""
    for number in range(10):
        check_among_others(Random(seed + number))


@pytest.mark.parametrize("mode", ["hash_seed", "equalizing", "proportional"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_sampler_and_a_scrub_both_rewrite_a_tracestate(mode, first):
    """A sampler writes the tracestate in every mode, so it and a scrub see what the other left, in either order."""
    message = TracesData()
    scope = message.resource_spans.add().scope_spans.add()
    for _ in range(2):
        scope.spans.add(trace_id=bytes(range(16)), trace_state="vendor=secret")
    batch = Batch.from_proto(message)
    plans = [Plan([Sample(100, mode=mode)]), Plan([Scrub(AskingScrubber(Mask(), ["trace_state"]))])]
    one, other = plans[first], plans[1 - first]
    assert settled((one + other).run(batch).proto()) == settled(other.run(one.run(batch)).proto())


@checked
@given(SEEDS)
def test_scrubs_and_drops_take_effect_in_their_order(seed):
    """What is dropped by a text is dropped by what the scrub before it has left; the tallies are right."""
    random = Random(seed)
    batch = random_conditions.batch(random)
    parts = random_conditions.parts(random, batch.signal)
    parts.insert(random.randint(0, len(parts)), [a_scrub(random)])
    message = batch.proto()
    tallies = naive.run_dropping(parts, batch.signal, message)
    outcome = sum((Plan(part) for part in parts), Plan()).outcome(batch)
    assert settled(outcome.batch.proto()) == settled(message)
    assert [tally[0] for tally in outcome.tallies] == tallies


def test_a_plan_cannot_scrub_and_select_by_a_text():
    """A selection by a text is decided once for a plan, which cannot be both before and after its scrub."""
    where = Selection(Match(span_names=("a",)))
    with pytest.raises(ValueError, match="one plan cannot both scrub texts and select by them"):
        Plan([Scrub(AskingScrubber(Mask(), ["all"])), Remove(Level.ITEM, "a", where=where)])


class Mask:
    """Masks all that it is shown."""

    def key(self, place, key):
        """Look at everything."""
        return "look"

    def rename(self, place, key):
        """Mask keys."""
        return "****"

    def value(self, place, key, value):
        """Mask values of any kind."""
        return "****"

    def text(self, place, text):
        """Mask texts."""
        return "****"


class Listener(Mask):
    """Remembers the texts that it is shown."""

    def __init__(self):
        self.shown = []

    def text(self, place, text):
        """They stay."""
        self.shown.append(text)
        return text


@pytest.mark.parametrize("level", [Level.RESOURCE, Level.SCOPE])
def test_the_schema_url_of_what_is_dropped_is_not_shown(level):
    """Not where an earlier action drops the resource or scope, though one before that still looks at its items."""
    message = TracesData()
    for name in ("gone", "kept"):
        entry = message.resource_spans.add(schema_url=f"{name} entry")
        entry.resource.attributes.add(key="name").value.string_value = name
        scope = entry.scope_spans.add(schema_url=f"{name} scope")
        scope.scope.attributes.add(key="name").value.string_value = name
        scope.spans.add(name="a")
    listener = Listener()
    drops = [
        Drop(Level.ITEM, (Rule(Compare(FieldOf("span.name"), "==", "health")),)),
        Drop(level, (Rule(Compare(Attribute(level, "name"), "==", "gone")),)),
    ]
    (Plan(drops) + Plan([Scrub(AskingScrubber(listener, ["schema_url"]))])).run(Batch.from_proto(message))
    above = [] if level is Level.RESOURCE else ["gone entry"]
    assert sorted(listener.shown) == [*above, "kept entry", "kept scope"]


@checked
@given(payloads())
def test_nothing_that_was_shown_or_hidden_is_left(wire):
    """Of a batch that is masked everywhere no text is left in the bytes, not even one that a later piece overrides."""
    signal, raw = wire
    masked = Plan([Scrub(AskingScrubber(Mask(), ["all"]))]).run(Batch(signal, raw, 1)).payload
    assert not [text for text in TEXTS if text in masked]
