"""What the anonymizer asks its rules about, keeps, counts and leaves to a thread."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest

from sluiceway.otlp import Batch
from sluiceway.otlp.places import place_bits
from sluiceway.otlp.plan import LongWork, Plan, Scrub
from sluiceway.personal import Action, Anonymizer, Detectors, Rule, Rules
from sluiceway.pipelines.edits import Edits
from sluiceway.processors import anonymize, filter, redaction
from sluiceway.testing import MemorySink
from tests.processors.samples import Bench, logs, span_attributes, spans

MIB = 1 << 20


class Listener(Rules):
    """Rules that remember about which keys they were asked."""

    def __init__(self, *rules: Rule) -> None:
        super().__init__(rules, ("email",))
        object.__setattr__(self, "asked", [])

    def decide(self, path: str, own: str) -> Any:
        """As the rules say."""
        self.asked.append(path)  # type: ignore[attr-defined]
        return super().decide(path, own)


def made(*rules: Rule) -> tuple[Plan, list[str]]:
    """A plan that anonymizes by rules, and the paths of the keys that they are asked about."""
    listener = Listener(*rules)
    plan = Plan([Scrub(Anonymizer(Detectors(1), listener, place_bits(["all"]), b"", None, "tenant.id"))])
    asked: list[str] = listener.asked  # type: ignore[attr-defined]
    asked.clear()
    return plan, asked


def test_a_key_is_decided_once() -> None:
    """However often it comes, in however many batches, alone or in maps."""
    plan, asked = made()
    for _ in range(2):
        plan.run(spans(3, a="x", m={"a": "x", "l": [{"b": "x"}]}))
    assert sorted(asked) == ["a", "m", "m.a", "m.l", "m.l.b"]


def test_many_keys_do_not_take_the_place_of_a_few_for_good() -> None:
    """After a record with more keys than are kept, alone and in a map, those of usual ones are kept again."""
    plan, asked = made()
    usual = spans(2, **{f"k{number}": "x" for number in range(20)})
    many = {f"hostile{number}": 1 for number in range(10_000)}
    plan.run(spans(1, **many, m=many))
    plan.run(usual)
    asked.clear()
    plan.run(usual)
    assert asked == []


def test_a_key_that_is_not_known_is_work() -> None:
    """Thousands of them in one batch are decided where nobody waits for the thread."""
    plan, _ = made()
    plan.outcome(spans(9, **{f"k{number}": "x" for number in range(100)}), hurried=True)
    with pytest.raises(LongWork):
        plan.outcome(spans(1, **{f"k{number}": "x" for number in range(1000)}), hurried=True)


def test_of_the_keys_around_another_not_all_is_looked_at() -> None:
    """A long one is not copied for each key in it; rules about how a path begins and ends hold all the same."""
    plan, asked = made(Rule(Action.DROP, (), ("user.*.name",)))
    batch = spans(1, user={"k" * 100_000: {"name": "x", "team": {"name": "x", "id": "x"}}})
    assert span_attributes(plan.run(batch)) == [{"user": {"k" * 100_000: {"team": {"id": "x"}}}}]
    beginning = f"user.{'k' * 251}…"
    assert [path for path in asked if len(path) < 1000] == [
        "user",
        *(f"{beginning}.{k}" for k in ("name", "team", "id")),
    ]


def test_a_long_text_leaves_nothing_behind() -> None:
    """What looking at it took is given back."""
    plan = Bench().make(anonymize.COMPONENT, "decode: true").plan
    process = psutil.Process()
    plan.run(logs("é%20"))
    before = process.memory_info().rss
    plan.run(logs("é%20" * 4 * MIB))
    assert process.memory_info().rss - before < 64 * MIB


@pytest.mark.parametrize(
    "between", [[], [(filter.COMPONENT, "trace_conditions: ['span.name == \"x\"']")]], ids=["one", "two"]
)
def test_what_is_found_counts_once(between: list[Any]) -> None:
    """Where a later editor leaves its work to a thread, in the same walk or in the next."""
    bench, sink = Bench(), MemorySink()
    parts = [
        (anonymize.COMPONENT, "{}"),
        *between,
        (redaction.COMPONENT, "{allow_all_keys: true, blocked_values: ['a.*b']}"),
    ]
    edits = Edits([bench.make(component, settings) for component, settings in parts], sink)
    batch: Batch = spans(1, m="jane@example.com", t="a" + "x" * 100_000 + "b")
    with pytest.raises(LongWork):
        edits.plan.outcome(batch, hurried=True)
    counted = next(f for f in bench.metrics.families() if f.name == "sluiceway_anonymize_findings")
    assert sum(value for _, value in counted.values()) == len(between)
    asyncio.run(edits.consume(batch))
    assert span_attributes(sink.batches[0]) == [{"m": "****", "t": "****"}]
    assert sum(value for _, value in counted.values()) == 1 + len(between)
