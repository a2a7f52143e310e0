"""The fuzz target: damaged requests may raise `DecodeError` and `TooLargeError`, nothing else, and never crash.

Nor does what stands behind the door crash on a batch that never passed it.

    python -m tests.otlp.fuzz [seconds] [seed]

What the door lets in must be what the official parser takes, and every operation on it must keep its promises. A
failure prints its seed; giving that one repeats it.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random

from google.protobuf import json_format

from sluiceway.errors import DecodeError, TooLargeError
from sluiceway.otlp import (
    Batch,
    Limits,
    Signal,
    accept,
    group_resources,
    json,
    keep_resources,
    partition,
    resources,
    sample,
    split,
    take,
)
from sluiceway.otlp.plan import Plan, Slot
from tests.otlp import random_conditions, random_plans, test_sampling
from tests.otlp.oracle import items_in, repaired, verdict
from tests.otlp.strategies import OFFICIAL, payload, shape

_JSON_BITS = [
    b'"',
    b"\\",
    b"\\ud800",
    b"{",
    b"[",
    b"]",
    b"}",
    b"null",
    b"-",
    b"1e999",
    b"\xff",
    b",",
    b":",
    b"0",
    b'""',
]


def damaged(random: Random, raw: bytes) -> bytes:
    """The bytes with a few of them flipped, cut out, doubled, cut off, or put in."""
    out = bytearray(raw)
    for _ in range(random.choice([0, 1, 1, 1, 2, 4])):
        at = random.randrange(len(out) + 1)
        match random.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << random.randrange(8)
            case 1:
                del out[at : at + random.randrange(1, 9)]
            case 2:
                out[at:at] = out[at : at + random.randrange(1, 40)]
            case 3:
                del out[at:]
            case 4:
                out[at:at] = random.randbytes(random.randrange(1, 5))
            case 5 if at < len(out):
                out[at] = random.choice([0, 0x0A, 0x12, 0x7F, 0x80, 0xFF])
    return bytes(out)


def check_wire(random: Random, signal: Signal, raw: bytes) -> str:
    """Send bytes through the door and every operation behind it."""
    expected = verdict(signal, raw)
    try:
        batch = accept(signal, raw)
    except DecodeError:
        assert expected is None, "refused what the official parser takes"
        return "refused"
    assert expected is not None, "took what the official parser refuses"
    assert batch.items == items_in(expected), "miscounted"
    assert type(expected).FromString(batch.payload) == repaired(expected), "repaired wrongly"
    check_limits(random, signal, raw, batch.items)
    check_operations(random, batch)
    return "taken"


def check_limits(random: Random, signal: Signal, raw: bytes, items: int) -> None:
    """A limit below the number of items refuses; one above it does not."""
    limit = random.randrange(items + 2)
    try:
        accept(signal, raw, limits=Limits(limit, 10**9, 10**9))
    except TooLargeError:
        return  # a metric's data that was overwritten counts until it is
    assert limit >= items, "let in too many items"


def check_operations(random: Random, batch: Batch) -> None:
    """Nothing is lost and nothing is invented by cutting and sorting."""
    rows = shape(batch.signal, batch.payload)
    pieces = split(batch, random.choice([0, 1, 2, 5]), random.choice([0, 1, 60, 300, 1000]))
    assert [row for piece in pieces for row in shape(batch.signal, piece.payload)] == rows, "split wrongly"
    parts = partition(batch, "service.name")
    assert sorted(row for _, part in parts for row in shape(batch.signal, part.payload)) == sorted(rows), "lost a part"
    entries = resources(batch, ["service.name", "a"])
    assert sum(items for items, _ in entries) == batch.items, "miscounted a resource"
    kept = keep_resources(batch, [random.random() < 0.5 for _ in entries])
    some = [
        take(batch, random.randrange(5)),
        sample(batch, random.random(), random.random()),
        Plan([random_conditions.drop(random, batch.signal), test_sampling.sample(random)]).run(batch),
    ]
    for made in (*pieces, *(part for _, part in parts), kept, *some):
        assert accept(made.signal, made.payload).items == made.items, "made an invalid batch"
    check_round_trip(batch)


def check_junk(random: Random, signal: Signal, raw: bytes) -> None:
    """Each operation on bytes that nobody has checked answers something or raises: it reads nothing beyond them."""
    batch = Batch(signal, raw if random.random() < 0.8 else random.randbytes(random.randrange(40)), 1)
    slots = [Slot(), Slot()]
    plan = Plan(random_plans.parts(random, slots)[0])
    dropping = Plan([random_conditions.drop(random, signal), test_sampling.sample(random)])
    operations: list[Callable[[], object]] = [
        lambda: json.encode(signal, batch.payload),
        lambda: split(batch, random.choice([0, 1, 2]), random.choice([1, 60])),
        lambda: take(batch, 0),
        lambda: group_resources(batch, [random.randrange(2) for _ in resources(batch, [])], 2),
        lambda: sample(batch, random.random()),
        lambda: resources(batch, ["service.name", "a"]),
        lambda: partition(batch, "service.name"),
        lambda: keep_resources(batch, [random.random() < 0.5 for _ in resources(batch, [])]),
        lambda: plan.run(batch, random_plans.arguments(random, slots, 1)),
        lambda: dropping.run(batch),
    ]
    for operation in operations:
        with suppress(DecodeError, ValueError):
            operation()


def check_round_trip(batch: Batch) -> None:
    """JSON says all that the bytes say, but for unknown fields."""
    again = OFFICIAL[batch.signal].FromString(json.decode(batch.signal, json.encode(batch.signal, batch.payload)))
    expected = batch.proto()
    expected.DiscardUnknownFields()
    assert json_format.MessageToJson(again) == json_format.MessageToJson(expected), "JSON changed something"


def check_json(random: Random, signal: Signal, raw: bytes) -> str:
    """Send a damaged text through the JSON door."""
    text = bytearray(json.encode(signal, raw))
    for _ in range(random.choice([1, 1, 2])):
        at = random.randrange(len(text) + 1)
        text[at : at + random.choice([0, 0, 1, 5])] = random.choice(_JSON_BITS)
    try:
        wire = json.decode(signal, damaged(random, bytes(text)))
    except DecodeError:
        return "no JSON"
    try:
        accept(signal, wire)
    except DecodeError as error:
        if "span id" not in str(error):  # hex of any length becomes bytes; the door looks at how many
            raise
    return "JSON"


def run(seconds: float, seed: int) -> Counter[str]:
    """Try seeds from `seed` on until the time is over."""
    outcomes: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until or not outcomes:
        random = Random(seed)
        signal = random.choice(list(Signal))
        raw = payload(random, signal, broken_text=random.random() < 0.3)
        hostile = damaged(random, raw)
        try:
            outcomes[check_wire(random, signal, hostile)] += 1
            check_junk(random, signal, hostile)
            outcomes[check_json(random, signal, accept(signal, raw).payload)] += 1
        except BaseException:
            print(f"failed with seed {seed}: python -m tests.otlp.fuzz 0 {seed}", file=sys.stderr)
            raise
        seed += 1
    return outcomes


if __name__ == "__main__":
    duration = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    first = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**9
    print(f"fuzzing for {duration:g} s from seed {first}")
    for outcome, count in sorted(run(duration, first).items()):
        print(f"{count:9,} {outcome}")
