"""What a plan may do to attributes, and to which items: plain frozen records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sluiceway.otlp._scrub import Scrubber
from sluiceway.otlp.conditions import Rule
from sluiceway.otlp.levels import Level

if TYPE_CHECKING:
    from sluiceway.otlp.batch import Signal

__all__ = [
    "Action", "Convert", "Copy", "Drop", "Edit", "Extract", "Hash", "Level", "Match", "Put", "Remove", "Sample",
    "Scrub", "Selection", "Slot", "Value",
]  # fmt: skip

Value: TypeAlias = "str | bool | int | float | bytes | Sequence[Value] | Mapping[str, Value]"
"""What an OTLP `AnyValue` can hold."""


class Slot:
    """A value that is known only when the batch is: given to `Plan.run`, by identity.

    One value for the whole batch, or a list with one value per resource entry. None means: do nothing. An array of
    values for the whole batch is given as a tuple.
    """


@dataclass(frozen=True, slots=True)
class Copy:
    """The value of another attribute at the same level; when that is absent the action does nothing."""

    key: str


@dataclass(frozen=True, slots=True)
class Match:
    """Properties of an item, all of which must hold.

    Inside one list one entry suffices, except for `attributes` and `resources`, which must all hold. With `regexp`
    strings are RE2 patterns found anywhere, as in the Collector; attribute values that are numbers or booleans are
    matched as text. A None value in `attributes` or `resources` asks only for the key, a None version for any version.
    A property that the batch's signal does not have (the name of a span for a log record) never holds.

    `services` looks at the resource's `service.name`, which counts as `<nil-service-name>` where it is absent.
    `log_severity_min` leaves out records without a severity, unless `log_severity_undefined` lets them match;
    that alone matches only those.
    """

    regexp: bool = False
    services: tuple[str, ...] = ()
    span_names: tuple[str, ...] = ()
    span_kinds: tuple[str, ...] = ()
    log_bodies: tuple[str, ...] = ()
    log_severity_texts: tuple[str, ...] = ()
    log_severity_min: int | None = None
    log_severity_undefined: bool = False
    metric_names: tuple[str, ...] = ()
    attributes: tuple[tuple[str, Value | None], ...] = ()
    resources: tuple[tuple[str, Value | None], ...] = ()
    libraries: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which items an action touches: those that `include` matches and `exclude` does not. None matches all / nothing.

    The actions of one plan that hold the same `Selection` object are decided together, before the first of them, so
    that an action does not change what the next one is about.
    """

    include: Match | None = None
    exclude: Match | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Set `key` to a value: `insert` only where it is absent, `update` only where it is present, `upsert` always."""

    level: Level
    key: str
    value: Value | Copy | Slot
    mode: Literal["insert", "update", "upsert"] = "upsert"
    where: Selection | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the attribute called `key`, and all whose names match the RE2 `pattern`."""

    level: Level
    key: str = ""
    pattern: str = ""
    where: Selection | None = None


@dataclass(frozen=True, slots=True)
class Hash:
    """Replace the value of `key`, and of all names that match `pattern`, by the lower-case hex digest of its text."""

    level: Level
    key: str = ""
    pattern: str = ""
    algorithm: Literal["sha1", "sha256"] = "sha1"
    where: Selection | None = None


@dataclass(frozen=True, slots=True)
class Extract:
    """Where the string value of `key` matches `pattern`, upsert one attribute for each of its named groups."""

    level: Level
    key: str
    pattern: str
    where: Selection | None = None


@dataclass(frozen=True, slots=True)
class Convert:
    """Convert the value of `key`; one that cannot be converted stays as it is."""

    level: Level
    key: str
    to: Literal["int", "double", "string"]
    where: Selection | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Take out what is at the level and for which one of the rules holds, or which `unless` does not choose.

    Where everything below a metric, scope or resource is taken out, it goes as well; a span stays without its events.
    Actions after this one do not see what is gone. With a `signal` it acts only on batches of that signal.
    """

    level: Level
    where: tuple[Rule, ...] = ()
    unless: Selection | None = None
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Keep a part of the spans and log records, by the Collector's rules; `sampling.policies` says what it counts.

    `percentage` is rounded to 32 bits; from 100 on all are kept. `attribute`, for records, is hashed where there is no
    trace id or `from_trace_id` is false; `priority`, for records, names an attribute that holds a percentage.
    """

    percentage: float
    mode: Literal["hash_seed", "equalizing", "proportional"] = "hash_seed"
    seed: int = 0
    fail_closed: bool = True
    precision: int = 4
    from_trace_id: bool = True
    attribute: str = ""
    priority: str = ""

    @property
    def level(self) -> Level:
        """It is about items."""
        return Level.ITEM


@dataclass(frozen=True, slots=True)
class Scrub:
    """Show a scrubber all that stands in the places it wants: what it says becomes of texts, values, keys, attributes.

    It touches all levels at once, and sees what the actions before it have left.
    """

    scrubber: Scrubber


Edit: TypeAlias = Put | Remove | Hash | Extract | Convert
"""What is done to the attributes of one level."""

Action: TypeAlias = Edit | Drop | Sample | Scrub
