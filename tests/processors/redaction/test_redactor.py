"""What the redactor asks, remembers and leaves to a thread."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from sluiceway.otlp import Batch
from sluiceway.otlp.plan import LongWork, Plan, Scrub
from sluiceway.pipelines.edits import Edits
from sluiceway.processors.redaction import COMPONENT
from sluiceway.processors.redaction._redactor import Redactor
from sluiceway.testing import MemorySink
from tests.processors.samples import Bench, of_tenants, spans

MIB = 1 << 20
ALL = "allow_all_keys: true"


class Listener:
    """Rules that keep everything and remember what they were asked."""

    all_types = looks_at_keys = looks_at_texts = renames_keys = True
    sanitizes_bodies = sanitizes_names = knows_systems = False
    price = 0

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def needs(self, *, counting: bool) -> None:
        """Any text may match."""

    def key(self, key: bytes) -> bytes:
        """Nothing is to be said of keys."""
        self.asked.append(key)
        return b"\0"

    def text(self, text: bytes) -> None:
        """Values stay."""
        self.asked.append(text)

    name = case = text


def asked(*batches: Batch) -> list[bytes]:
    """What is asked about batches that come one after the other, in order."""
    rules: Any = Listener()
    plan = Plan([Scrub(Redactor(rules, 0))])
    for batch in batches:
        plan.run(batch)
    return [text for text in rules.asked if text]


def test_each_text_is_asked_about_once() -> None:
    """However often it comes, in however many batches."""
    batch = spans(3, name="x", color="red")
    assert asked(batch, batch).count(b"red") == 1


@pytest.mark.parametrize("size", range(1, 20))
def test_texts_that_are_nearly_the_same_do_not_displace_each_other(size: int) -> None:
    """Not even those that differ in their last byte alone."""
    texts = [f"{'x' * size}{digit}" for digit in range(10)]
    batch = spans(1, **{f"k{number}": text for number, text in enumerate(texts)})
    found = asked(batch, batch)
    assert [found.count(text.encode()) for text in texts] == [1] * len(texts)


def test_what_was_found_for_a_tenant_is_that_tenants() -> None:
    """Another's same text is asked about anew, whether it comes before or after: nobody can tell who else has it."""
    ann, bob = of_tenants({"tenant.id": "ann", "k": "red"}), of_tenants({"tenant.id": "bob", "k": "red"})
    assert asked(ann, bob, ann, bob).count(b"red") == 2
    assert asked(of_tenants({"tenant.id": "ann", "k": "red"}, {"tenant.id": "bob", "k": "red"})).count(b"red") == 2


def test_the_tenant_that_was_not_seen_for_longest_is_forgotten() -> None:
    """There are memos for 64 of them; more do not take more memory."""
    many = [of_tenants({"tenant.id": f"t{number}", "k": "red"}) for number in range(65)]
    assert asked(*many[:64], many[0]).count(b"red") == 64
    assert asked(*many, many[1]).count(b"red") == 65
    assert asked(*many, many[0]).count(b"red") == 66


def test_an_error_of_the_rules_reaches_the_caller() -> None:
    """Nothing goes on as if it had been looked at."""
    rules: Any = Listener()
    plan = Plan([Scrub(Redactor(rules, 0))])
    rules.text = None
    with pytest.raises(TypeError):
        plan.run(spans(1, a="b"))


# ---- hostile texts, and thousands of rules


def editor(settings: str) -> Any:
    """The processor."""
    return Bench().make(COMPONENT, f"{{{settings}}}")


async def lag_while(edits: Edits, batch: Batch) -> float:
    """How many seconds the loop was held up at most while a batch went through."""
    worst, done = 0.0, False

    async def watch() -> None:
        nonlocal worst
        while not done:
            before = time.perf_counter()
            await asyncio.sleep(0)
            worst = max(worst, time.perf_counter() - before)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        await asyncio.sleep(0)
        await edits.consume(batch)
        done = True
    return worst


def test_a_hurried_run_does_not_begin_long_work() -> None:
    """It says so instead; without hurry the work is done."""
    plan = editor(f"{ALL}, blocked_values: ['a.*b']").plan
    batch = spans(1, a="a" + "x" * MIB + "b")
    with pytest.raises(LongWork):
        plan.outcome(batch, hurried=True)
    assert len(plan.run(batch).payload) < 100


def test_long_texts_without_what_patterns_need_are_no_work() -> None:
    """They are looked at in the walk."""
    batch = spans(1, a="x" * MIB)
    assert (
        editor(f"{ALL}, blocked_values: ['4[0-9]{{12}}', '[a-z]+@[a-z]+']").plan.outcome(batch, hurried=True).batch
        is batch
    )


@pytest.mark.parametrize(
    "settings",
    [
        f"{ALL}, blocked_values: ['(a+)+$', 'a.*b', '[a-z0-9.]+@[a-z0-9.]+']",
        f"{ALL}, blocked_values: [{', '.join(f'secret{n}z+' for n in range(10_000))}]",
        f"{ALL}, blocked_key_patterns: [{', '.join(f'secret{n}z+' for n in range(10_000))}]",
        f"allowed_keys: [{', '.join(f'secret{n}' for n in range(10_000))}, a, b]",
    ],
    ids=["hostile text", "ten thousand values", "ten thousand key patterns", "ten thousand keys"],
)
async def test_the_loop_goes_on_meanwhile(settings: str) -> None:
    """Neither a hostile text of a mebibyte nor ten thousand rules hold it up."""
    sink = MemorySink()
    edits = Edits([editor(settings)], sink)
    text = "a@" * (MIB // 4) + "aab " * (MIB // 8)
    batch = spans(20, b="x", **{f"k{n}": f"v{n}" for n in range(20)}, a=text[: MIB // 20])
    started = time.perf_counter()
    lag = await lag_while(edits, batch)
    print(f"lag {lag * 1e3:.1f} ms of {(time.perf_counter() - started) * 1e3:.0f} ms")
    assert sink.items == 20
    assert lag < 1
