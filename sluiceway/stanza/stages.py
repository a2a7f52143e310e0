"""What the operators of a program do with a whole list of entries."""

from __future__ import annotations

import random
from typing import Final, Protocol, TypeAlias

from sluiceway.component import Context, Reason
from sluiceway.escape import escape
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.expressions import Evaluate, compile_expression
from sluiceway.stanza.fields import field
from sluiceway.stanza.operators.container import Container
from sluiceway.stanza.operators.flow import Filter, Recombine, Router
from sluiceway.stanza.operators.operator import OnError, Operator, template

__all__ = ["Containing", "Failures", "Filtering", "Keeping", "Passing", "Recombining", "Routing", "Stage"]

Targets: TypeAlias = tuple[int, ...]
Sent: TypeAlias = "list[tuple[list[Entry], Targets]]"
"""Lists of entries, each with the places of the operators that get it."""

_LOG_EVERY: Final = 60_000_000_000  # nanoseconds
_MAX_JOINED: Final = 16 * 1024 * 1024
_MAX_KEPT: Final = 64 * 1024 * 1024  # bytes of all that waits in one operator


class Stage(Protocol):
    """An operator at work. `targets` are all the ways in which it may send."""

    @property
    def targets(self) -> tuple[Targets, ...]: ...

    def run(self, entries: list[Entry], now: int) -> Sent: ...


class Keeping(Stage, Protocol):
    """An operator that keeps entries, to join them with others."""

    @property
    def pending(self) -> int: ...

    @property
    def marks(self) -> list[tuple[str, int, int]]: ...

    def flush(self, now: int, force: bool) -> list[Entry]: ...


class Failures:
    """What becomes of entries that an operator could not process, by its `on_error`.

    The first failure is logged, and then one a minute at most with the number of those in between.
    """

    def __init__(self, name: str, on_error: OnError, context: Context) -> None:
        self._name = name
        self._dropped = on_error.startswith("drop")
        self._quiet = on_error.endswith("_quiet")
        self._context = context
        self._since = 0
        self._logged_at: int | None = None

    def keep(self, error: ValueError, now: int) -> bool:
        """Log an error, and say whether the entry goes on; else it has been counted as dropped."""
        self.log(error, now)
        if self._dropped:
            self._context.drop(1, Reason.REJECTED, intended=True)
        return not self._dropped

    def log(self, error: ValueError, now: int) -> None:
        """Log an error, unless one was logged in the last minute."""
        self._since += 1
        if self._logged_at is None or now - self._logged_at >= _LOG_EVERY:
            text = "operator %s: failed to process entry: %s (%d since the last such message)"
            log = self._context.logger.debug if self._quiet else self._context.logger.error
            log(text, self._name, escape(str(error)[:300]), self._since)
            self._logged_at, self._since = now, 0


def condition(text: str | None) -> Evaluate | None:
    """An `if`, compiled."""
    return None if text is None else compile_expression(text)


def holds(asked: Evaluate, entry: Entry) -> bool:
    """Whether a condition is true. Raises `ValueError` for one that is neither true nor false."""
    result = asked(entry)
    if result is True or result is False:
        return result
    raise ValueError(f"an expression gave {type(result).__name__} and not true or false")


class Passing:
    """An operator that changes one entry after the other."""

    def __init__(self, operator: Operator, outputs: Targets, failures: Failures) -> None:
        self.targets = (outputs,)
        self._step = operator.step()
        self._if = condition(operator.if_)
        self._failures = failures

    def run(self, entries: list[Entry], now: int) -> Sent:
        step, asked = self._step, self._if
        lost: set[int] = set()
        for at, entry in enumerate(entries):
            try:
                if asked is None or holds(asked, entry):
                    step(entry)
            except ValueError as error:
                if not self._failures.keep(error, now):
                    lost.add(at)
        if lost:
            entries = [entry for at, entry in enumerate(entries) if at not in lost]
        return [(entries, self.targets[0])]


class Filtering:
    """Drops entries for which an expression is true."""

    def __init__(self, operator: Filter, outputs: Targets, failures: Failures, context: Context) -> None:
        self.targets = (outputs,)
        self._if = condition(operator.if_)
        self._expression = compile_expression(operator.expr)
        self._ratio = operator.drop_ratio
        self._failures = failures
        self._drop = context.drop

    def run(self, entries: list[Entry], now: int) -> Sent:
        kept: list[Entry] = []
        filtered = 0
        for entry in entries:
            try:
                drop = (self._if is None or holds(self._if, entry)) and holds(self._expression, entry)
            except ValueError as error:
                if self._failures.keep(error, now):
                    kept.append(entry)
                continue
            if drop and (self._ratio >= 1 or random.random() < self._ratio):  # noqa: S311 - no secret
                filtered += 1
            else:
                kept.append(entry)
        if filtered:
            self._drop(filtered, Reason.FILTERED, intended=True)
        return [(kept, self.targets[0])]


class Routing:
    """Sends each entry along the first route that fits."""

    def __init__(
        self, operator: Router, outputs: Targets, places: dict[str, int], failures: Failures, context: Context
    ) -> None:
        self._routes = [
            (
                compile_expression(route.expr),
                {key: template(value) for key, value in route.attributes.items()},
                tuple(places[name] for name in route.outputs),
            )
            for route in operator.routes
        ]
        self._default = tuple(places[name] for name in operator.defaults) or outputs
        self.targets = (*(targets for _, _, targets in self._routes), self._default)
        self._failures = failures
        self._drop = context.drop

    def run(self, entries: list[Entry], now: int) -> Sent:
        sent: list[list[Entry]] = [[] for _ in self.targets]
        for entry in entries:
            sent[self._route(entry, now)].append(entry)
        if sent[-1] and not self._default:
            self._drop(len(sent.pop()), Reason.FILTERED, intended=True)
        return [(found, targets) for found, targets in zip(sent, self.targets, strict=False) if found]

    def _route(self, entry: Entry, now: int) -> int:
        for at, (expression, attributes, _) in enumerate(self._routes):
            try:
                if holds(expression, entry):
                    entry.attributes |= {key: value(entry) for key, value in attributes.items()}
                    return at
            except ValueError as error:
                self._failures.log(error, now)
        return len(self._routes)


class _Parts:
    """What has come of one entry that is joined of several."""

    __slots__ = ("entry", "mark", "matched", "since", "size", "texts")

    def __init__(self, entry: Entry, now: int, matched: bool) -> None:
        self.entry = entry
        self.mark = entry.mark
        self.texts: list[str] = []
        self.size = 0
        self.since = now
        self.matched = matched


class Recombining:
    """Joins entries that are parts of one, for each source by itself."""

    def __init__(
        self, operator: Recombine, outputs: Targets, failures: Failures, marks: Evaluate | None = None,
        source: Evaluate | None = None,
    ) -> None:  # fmt: skip
        self.targets = (outputs,)
        self._operator = operator
        self._if = condition(operator.if_)
        self._first = operator.is_first_entry is not None
        self._marks = marks or compile_expression(operator.is_first_entry or operator.is_last_entry or "")
        self._field = field(operator.combine_field)
        self._source = source or field(operator.source_identifier).get
        self._last_wins = operator.overwrite_with in ("last", "newest")
        self._max_size = operator.max_log_size or _MAX_JOINED
        self._period = int(operator.force_flush_period * 1_000_000_000)
        self._kept: dict[str, _Parts] = {}
        self._failures = failures
        self.pending = 0
        self._size = 0

    def run(self, entries: list[Entry], now: int) -> Sent:
        out: list[Entry] = []
        for entry in entries:
            try:
                if self._if is not None and not holds(self._if, entry):
                    out.append(entry)
                    continue
                marked = holds(self._marks, entry)
                value = self._field.get(entry)
                if not isinstance(value, str):
                    raise ValueError("the field to combine is not there, or no text")  # noqa: TRY004, TRY301
            except ValueError as error:
                if self._failures.keep(error, now):
                    out.append(entry)
                continue
            self._take(entry, value, marked, now, out)
        return [(out, self.targets[0])]

    def _take(self, entry: Entry, value: str, marked: bool, now: int, out: list[Entry]) -> None:
        source = self._source(entry)
        key = source if isinstance(source, str) else "DefaultSourceIdentifier"
        if self._first and marked:
            self._release(key, out)
        parts = self._kept.get(key)
        if parts is None:
            if len(self._kept) >= self._operator.max_sources:
                self._release(next(iter(self._kept)), out)
            parts = self._kept[key] = _Parts(entry, now, marked)
        elif self._last_wins:
            parts.entry = entry
        parts.texts.append(value)
        size = len(value.encode(errors="replace")) + len(self._operator.combine_with)
        parts.size += size
        self._size += size
        parts.matched |= marked
        self.pending += 1
        if (not self._first and marked) or self._full(parts):
            self._release(key, out)
        while self._size > _MAX_KEPT:
            self._release(next(iter(self._kept)), out)

    def _full(self, parts: _Parts) -> bool:
        limit = self._operator.max_batch_size
        if self._first and not parts.matched:
            limit = min(limit or 10**9, self._operator.max_unmatched_batch_size or 10**9)
        return parts.size >= self._max_size or bool(limit and len(parts.texts) >= limit)

    def _release(self, key: str, out: list[Entry]) -> None:
        parts = self._kept.pop(key, None)
        if parts is None:
            return
        self.pending -= len(parts.texts)
        parts.entry.mark = parts.mark
        self._size -= parts.size
        self._field.set(parts.entry, self._operator.combine_with.join(parts.texts))
        out.append(parts.entry)

    @property
    def marks(self) -> list[tuple[str, int, int]]:
        """The marks of the first of all entries that wait for others."""
        return [parts.mark for parts in self._kept.values() if parts.mark is not None]

    def flush(self, now: int, force: bool) -> list[Entry]:
        """Give what has waited long enough, or all that waits."""
        out: list[Entry] = []
        for key in [key for key, parts in self._kept.items() if force or now - parts.since >= self._period]:
            self._release(key, out)
        return out


class Containing:
    """Reads a container's lines, and joins those that were cut."""

    def __init__(self, operator: Container, outputs: Targets, failures: Failures) -> None:
        self.targets = (outputs,)
        self._if = condition(operator.if_)
        self._step = operator.step()
        self._failures = failures
        joining = Recombine.model_validate(
            {
                "type": "recombine",
                "combine_field": "body",
                "combine_with": "",
                "is_last_entry": "true",
                "max_batch_size": operator.max_batch_size,
                "max_log_size": operator.max_log_size,
            }
        )
        self._joined = Recombining(joining, outputs, failures, _ends, _stream)

    @property
    def pending(self) -> int:
        """How many lines wait for the rest of them."""
        return self._joined.pending

    @property
    def marks(self) -> list[tuple[str, int, int]]:
        """The marks of the first of all lines that wait for the rest of them."""
        return self._joined.marks

    def run(self, entries: list[Entry], now: int) -> Sent:
        out: list[Entry] = []
        for entry in entries:
            try:
                if self._if is not None and not holds(self._if, entry):
                    out.append(entry)
                    continue
                self._step(entry)
            except ValueError as error:
                if self._failures.keep(error, now):
                    out.append(entry)
                continue
            (joined, _), *_ = self._joined.run([entry], now)
            out += _without_newline(joined)
        return [(out, self.targets[0])]

    def flush(self, now: int, force: bool) -> list[Entry]:
        """Give what has waited long enough, or all that waits."""
        return _without_newline(self._joined.flush(now, force))


def _stream(entry: Entry) -> str:
    """Where a line comes from: parts of what a container writes to one stream do not belong to the other."""
    return f"{entry.attributes.get('log.file.path', '')} {entry.attributes.get('log.iostream', '')}"


def _ends(entry: Entry) -> bool:
    """Whether a line is whole: CRI says so in a tag, and Docker by its newline."""
    tag = entry.attributes.get("logtag")
    if isinstance(tag, str):
        return tag.split(":", 1)[0] != "P"
    return isinstance(entry.body, str) and entry.body.endswith("\n")


def _without_newline(entries: list[Entry]) -> list[Entry]:
    for entry in entries:
        if isinstance(entry.body, str):
            entry.body = entry.body.removesuffix("\n")
    return entries
