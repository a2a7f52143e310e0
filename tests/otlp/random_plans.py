"""Random batches of any encoding that protobuf allows, and random plans, from one `random.Random`.

Fields come in any order, are missing, repeated or unknown; a resource, scope, body or value may come in pieces. Keys
and texts are few, so that plans meet what they look for.
"""

from __future__ import annotations

import math
import struct

from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.anyvalue import varint
from sluiceway.otlp.plan import Convert, Copy, Extract, Hash, Level, Match, Put, Remove, Selection

ATTRIBUTED = (Level.RESOURCE, Level.SCOPE, Level.ITEM)
KEYS = ["a", "b", "service.name", "user.id", "user.name", "héé", ""]
NAMES = [key for key in KEYS if key]
TEXTS = ["", "12", "-7.5", "GET /cart", "checkout", "id=42 name=ann", "ü", "x" * 130]
PATTERNS = ["^user", "a", "e$", "[0-9]+", "^$", "."]
EXTRACTION = r"(?P<a>[a-z]+)(?P<num>[=/ ][0-9]+)?(?P<b>!)?"
DOUBLES = [1.0, -0.0, 1e21, 1.5e-9, math.inf, math.nan, 200.0, 1e300]
VALUES = [*TEXTS, True, False, 0, 5, -1, 2**62, 1.0, -2.5e30, math.inf, b"", b"\0\xff", ["x", 1, None, [True]],
          {"k": 1.5, "j": {"l": b"z"}}]  # fmt: skip
UNKNOWN = [b"\x9a\x06\x05later", b"\x90\x06\x05", b"\x8d\x061234", b"\x81\x0612345678", b"\xfb\x05\x0a\x01x\xfc\x05"]


def sized(number, content):
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def integer(number, value):
    """A field of a number."""
    return varint(number << 3) + varint(value & (2**64 - 1))


def text(random, number, texts=TEXTS):
    """A field of some text."""
    return sized(number, random.choice(texts).encode())


def message(random, always, *sometimes):
    """The fields `always` (functions that make one) once, mostly; those of `sometimes` now and then; in any order."""
    fields = [make() for make in always if random.random() < 0.95]
    while random.random() < 0.2:
        fields.append(random.choice([*always, *sometimes, lambda: random.choice(UNKNOWN)])())
    fields += [make() for make in sometimes if random.random() < 0.5]
    if random.random() < 0.3:
        random.shuffle(fields)
    return b"".join(fields)


def any_value(random, depth=2):
    """The content of an `AnyValue`, nested so deep at most."""
    member = random.choice([1, 1, 1, 1, 2, 3, 3, 4, 7, 5, 6][: 11 if depth else 9])
    makers = {
        1: lambda: text(random, 1),
        2: lambda: integer(2, random.choice([0, 1, 7])),
        3: lambda: integer(3, random.choice([0, 5, -1, 12, 2**62])),
        4: lambda: b"\x21" + struct.pack("<d", random.choice(DOUBLES)),
        5: lambda: sized(5, repeated(random, 1, lambda: any_value(random, depth - 1))),
        6: lambda: sized(6, repeated(random, 1, lambda: key_value(random, depth - 1))),
        7: lambda: sized(7, random.choice([b"", b"\0\xff"])),
    }
    return message(random, [makers[member]])


def key_value(random, depth=2):
    """The content of a `KeyValue`."""
    return message(
        random,
        [lambda: text(random, 1, KEYS), lambda: sized(2, any_value(random, depth))],
        *([lambda: integer(3, 4)] if random.random() < 0.05 else []),
    )


def repeated(random, number, make, most=3):
    """Up to `most` fields of one number."""
    return b"".join(sized(number, make()) for _ in range(random.randrange(most + 1)))


def attributes(random, number):
    """Some attributes, in the field `number`."""
    return repeated(random, number, lambda: key_value(random), 4)


def item(random, number, *others):
    """A span, log record or data point, with its attributes in the field `number`."""
    return message(random, [lambda: attributes(random, number)], *others)


def span(random):
    """The content of a span."""
    return item(random, 9, lambda: text(random, 5), lambda: integer(6, random.choice([0, 2, 3, 9])))


def log(random):
    """The content of a log record."""
    return item(
        random,
        6,
        lambda: sized(5, any_value(random)),
        lambda: text(random, 3),
        lambda: integer(2, random.choice([0, 5, 17])),
    )


def metric(random):
    """The content of a metric with points of one kind."""
    kind, number = random.choice([(5, 7), (7, 7), (9, 9), (10, 1), (11, 7)])
    points = [lambda: sized(kind, repeated(random, 1, lambda: item(random, number, lambda: b"\x1112345678")))]
    return message(random, points, lambda: text(random, 1))


def batch(random):
    """A whole batch of any signal."""
    signal = random.choice(list(Signal))
    make = {Signal.TRACES: span, Signal.METRICS: metric, Signal.LOGS: log}[signal]

    def scope():
        return message(random, [lambda: attributes(random, 3)], lambda: text(random, 1), lambda: text(random, 2))

    def scopes():
        items = [lambda: repeated(random, 2, lambda: make(random), 4)]
        return message(random, items, lambda: sized(1, scope()), lambda: text(random, 3))

    def resource():
        return message(random, [lambda: attributes(random, 1)], lambda: integer(2, 3))

    def resources():
        return message(
            random, [lambda: repeated(random, 2, scopes, 2)], lambda: sized(1, resource()), lambda: text(random, 3)
        )

    return Batch(signal, message(random, [lambda: repeated(random, 1, resources)]), 1)


# ---- plans


def some(random, elements):
    """One or two of the elements."""
    return tuple(random.sample(elements, random.randint(1, 2)))


def match(random, level):
    """Conditions that an action of the level can have."""
    regexp = random.random() < 0.5
    texts = PATTERNS if regexp else TEXTS

    def wanted():
        return (random.choice(NAMES), random.choice([None, random.choice(PATTERNS if regexp else VALUES)]))

    def library():
        return (random.choice(texts), random.choice([None, *texts]))

    facts = {"services": lambda: some(random, texts), "resources": lambda: (wanted(),)}
    if level >= Level.SCOPE:
        facts["libraries"] = lambda: (library(), library())
    if level == Level.ITEM:
        facts |= {name: lambda: some(random, texts) for name in ("span_names", "log_bodies", "metric_names")}
        facts |= {
            "span_kinds": lambda: some(random, ["SERVER", "C", "^$"] if regexp else ["SPAN_KIND_SERVER", "client"]),
            "log_severity_texts": lambda: some(random, texts),
            "log_severity_min": lambda: random.choice([0, 9]),
            "log_severity_undefined": lambda: True,
            "attributes": lambda: (wanted(), wanted())[: random.randint(1, 2)],
        }
    return Match(regexp, **{name: facts[name]() for name in random.sample(sorted(facts), random.choice([1, 1, 2]))})


def selection(random, level):
    """Which items an action of the level may touch."""
    include, exclude = (match(random, level) if random.random() < 0.6 else None for _ in range(2))
    return Selection(include, exclude)


def action(random, selections, slots):
    """Any action."""
    level = random.choice(ATTRIBUTED)
    where = random.choice([None, None, random.choice(selections[level])])
    key, pattern = random.choice(NAMES), random.choice(PATTERNS)
    target = random.choice([(key, ""), ("", pattern), (key, pattern)])
    source = random.choice([random.choice(VALUES), random.choice(VALUES), Copy(random.choice(NAMES)), *slots])
    mode = random.choice(["insert", "update", "upsert"])
    return random.choice(
        [
            Put(level, key, source, mode, where),
            Put(level, key, source, mode, where),
            Remove(level, *target, where=where),
            Hash(level, *target, algorithm=random.choice(["sha1", "sha256"]), where=where),
            Convert(level, key, random.choice(["int", "double", "string"]), where),
            Extract(level, key, EXTRACTION, where),
        ]
    )


def parts(random, slots):
    """The actions of one to three plans, some of which share a selection."""
    selections = {level: [selection(random, level) for _ in range(2)] for level in ATTRIBUTED}
    return [
        [action(random, selections, slots) for _ in range(random.randint(1, 4))] for _ in range(random.randint(1, 3))
    ]


def arguments(random, slots, entries):
    """Values for slots: the same for the whole batch, one for each of its resource entries, or nothing."""

    def value():
        drawn = random.choice([None, *VALUES])
        return tuple(drawn) if isinstance(drawn, list) else drawn

    return {slot: random.choice([value(), [value() for _ in range(entries)]]) for slot in slots}
