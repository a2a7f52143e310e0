"""Random rules and drops, on the keys and texts of `random_plans`, and batches that have what they ask about."""

from __future__ import annotations

from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.conditions import (
    And,
    Attribute,
    Compare,
    Constant,
    EndsWith,
    FieldOf,
    HasKind,
    Id,
    Matches,
    Not,
    Or,
    PointHas,
    Rule,
    StartsWith,
)  # fmt: skip
from sluiceway.otlp.fields import FIELDS
from sluiceway.otlp.levels import Level
from sluiceway.otlp.plan import Drop
from tests.otlp import random_plans
from tests.otlp.oracle import items_in
from tests.otlp.strategies import OFFICIAL, payload

OF_SIGNAL = {
    Signal.TRACES: ("resource", "scope", "span", "spanevent"),
    Signal.METRICS: ("resource", "scope", "metric", "datapoint"),
    Signal.LOGS: ("resource", "scope", "log"),
}
LEVELS = {
    Signal.TRACES: (Level.RESOURCE, Level.SCOPE, Level.ITEM, Level.ITEM, Level.EVENT),
    Signal.METRICS: (Level.RESOURCE, Level.SCOPE, Level.METRIC, Level.ITEM, Level.ITEM),
    Signal.LOGS: (Level.RESOURCE, Level.SCOPE, Level.ITEM, Level.ITEM),
}
PATTERNS = ["^user", "a", "e$", "[0-9]+", "^$", ".", "^GET /cart$", "id=.*", r"^7\.5", "true", "Server", "^0+$"]
TEXTS = [*random_plans.TEXTS, "a", "http.method", "GET /api", "Server", "0" * 16]
CONSTANTS = [*random_plans.VALUES, *TEXTS, None, 1, 2, 3, 0.0, 17, 5.0, True, Id(bytes(8)), Id(bytes(16)), [], {}]


def batch(random):
    """A batch with every field of the schema, or one of few attributes; with the right number of items."""
    signal = random.choice(list(Signal))
    made = Batch(signal, payload(random, signal), 0) if random.random() < 0.5 else random_plans.batch(random)
    return made.with_payload(made.payload, items_in(OFFICIAL[made.signal].FromString(made.payload)))


def fact(random, signal, level):
    """Anything that is known at the level."""
    path = random.choice([(), (), (), ("k",), ("j", "l"), (0,), (1,), ("j",)])
    attributed = [one for one in Level if one <= level and one in LEVELS[signal] and one is not Level.METRIC]
    names = [
        name for name, field in FIELDS.items() if name.partition(".")[0] in OF_SIGNAL[signal] and field.level <= level
    ]
    if attributed and random.random() < 0.6:
        return Attribute(random.choice(attributed), random.choice([*random_plans.NAMES, "http.method"]), path)
    name = random.choice(names)
    return FieldOf(name, path if name == "log.body" else ())


def condition(random, signal, level, depth=2):
    """Any condition."""
    if depth and random.random() < 0.4:
        some = [condition(random, signal, level, depth - 1) for _ in range(random.randint(1, 4))]
        return random.choice([And(tuple(some)), Or(tuple(some)), Not(some[0])])
    if signal is Signal.METRICS and level >= Level.METRIC and random.random() < 0.1:
        return PointHas(random.choice(random_plans.NAMES), random.choice([None, *TEXTS]))
    asked = fact(random, signal, level)
    other = fact(random, signal, level) if random.random() < 0.15 else random.choice(CONSTANTS)
    operator = random.choice(["==", "==", "==", "!=", "<", "<=", ">", ">="])
    return random.choice(
        [
            Compare(asked, operator, other),
            Compare(asked, operator, other),
            Compare(asked, "==", random.choice(TEXTS)),
            Matches(asked, random.choice(PATTERNS)),
            StartsWith(asked, random.choice(TEXTS)),
            EndsWith(asked, random.choice(TEXTS)),
            HasKind(asked, (random.choice(["string", "bool", "int", "double", "array", "map", "bytes"]),)),
            Constant(random.random() < 0.2),
        ]
    )


def rules(random, signal, level):
    """A few rules, now and then many."""
    count = random.choice([1, 1, 2, 3, 12])
    return tuple(Rule(condition(random, signal, level)) for _ in range(count))


def drop(random, signal):
    """Any `Drop` of a signal."""
    level = random.choice(LEVELS[signal])
    only = random.choice([None, None, signal, random.choice(list(Signal))])
    attributed = level in random_plans.ATTRIBUTED
    if attributed and random.random() < 0.2:
        return Drop(level, unless=random_plans.selection(random, level), signal=only)
    return Drop(level, rules(random, signal, level), signal=only)


def parts(random, signal):
    """The actions of some plans, those that edit and those that drop mixed."""
    edits = random_plans.parts(random, [])
    drops = [[drop(random, signal) for _ in range(random.randint(1, 3))] for _ in range(random.randint(1, 3))]
    return random.sample([*edits, *drops], len(edits) + len(drops))
