"""What is done with what: rules, compiled so that each key is decided once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final

from sluiceway.personal.globs import Globs
from sluiceway.personal.kinds import BY_KEY, FIRST_PATTERN, HIDDEN, KINDS

__all__ = ["Action", "Rule", "Rules", "Verdict"]

_KIND_COUNT: Final = 32
_REMEMBERED: Final = 1024
"""Verdicts. Most keys share one."""


class Action(IntEnum):
    """What becomes of a value or of a part of it; `keep` leaves it as it is."""

    MASK = 0
    HASH = 1
    PSEUDONYMIZE = 2
    ENCRYPT = 3
    TRUNCATE = 4
    DROP = 5
    KEEP = 6


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Without `keys` it is about what the detectors named find anywhere, without `detect` about whole values.

    `keys` are globs with `*` and `?`, of any case. One without a dot stands for the last part of a key as well:
    `authorization` for `http.request.header.authorization`.
    """

    action: Action
    detect: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    keep_first: int = 0
    keep_last: int = 0
    ipv4_prefix: int = 24
    ipv6_prefix: int = 48

    @property
    def treatment(self) -> tuple[int, int, int, int, int]:
        """As the kernel takes it."""
        return (int(self.action), self.keep_first, self.keep_last, self.ipv4_prefix, self.ipv6_prefix)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one key. Treatments are places in `Rules.treatments`.

    `whole` is that of the whole value, or -1; `by_kind` those of what is found in it; `wanted` has a bit for each kind
    to look for, `earlier` for each whose rule stands before that of the whole value.
    """

    whole: int
    by_kind: tuple[int, ...]
    wanted: int
    earlier: int


@dataclass(frozen=True)
class Rules:
    """Rules in their order. What is detected and has no rule is masked."""

    rules: Sequence[Rule]
    detect: tuple[str, ...]
    """The detectors that are on, own patterns after the built-in ones."""
    patterns: tuple[str, ...] = ()
    """The names of the own patterns, in the order of their kinds."""
    _keyless: tuple[int, ...] = field(init=False, repr=False)
    _globs: Globs = field(init=False, repr=False)
    _conclude: Callable[[tuple[int, ...], bool], Verdict] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keyless", tuple(n for n, rule in enumerate(self.rules) if not rule.keys))
        object.__setattr__(self, "_globs", Globs([rule.keys for rule in self.rules]))
        object.__setattr__(self, "_conclude", lru_cache(_REMEMBERED)(self._verdict))

    @property
    def names(self) -> dict[int, bytes]:
        """What each kind is called, by its number."""
        named = {number: name for name, number in self.kinds.items()}
        return {kind: name.encode() for kind, name in (named | {BY_KEY: "value", HIDDEN: "hidden"}).items()}

    @property
    def kinds(self) -> dict[str, int]:
        """The number of each detector by its name."""
        built_in = {name: number for number, name in enumerate(KINDS)}
        return built_in | {name: FIRST_PATTERN + number for number, name in enumerate(self.patterns)}

    @property
    def treatments(self) -> list[tuple[int, int, int, int, int]]:
        """One for each rule, and at last the mask of what has none."""
        return [*(rule.treatment for rule in self.rules), Rule(Action.MASK).treatment]

    def decide(self, path: str, own: str) -> Verdict:
        """What becomes of the values of a key: `path` with the keys of the maps around it, `own` without."""
        matching = {*self._keyless, *self._globs.matching(path), *self._globs.matching(own)}
        return self._conclude(tuple(sorted(matching)), own.lower().endswith("version"))

    def _verdict(self, matching: tuple[int, ...], is_version: bool) -> Verdict:
        """What the rules that match make of a value; what a key calls a version is not looked through for addresses."""
        whole = next((number for number in matching if not self.rules[number].detect), -1)
        by_kind = [len(self.rules)] * _KIND_COUNT
        wanted = earlier = 0
        kinds = self.kinds
        for name in self.detect:
            kind = kinds[name]
            if name == "ip" and is_version:
                continue
            wanted |= 1 << kind
            number = next((n for n in matching if name in self.rules[n].detect), len(self.rules))
            by_kind[kind] = number
            earlier |= (number < whole) << kind
        return Verdict(whole, tuple(by_kind), wanted, earlier)
