"""Our own logs: one line a record, for a terminal or as JSON, with the component that speaks as fields.

Control characters are escaped in both encodings, so that no text that came from outside can forge a line or move a
terminal's cursor. Repeated messages are sampled. Only `extra={"block": lines}` brings several lines, which stand as
they are beneath the record's own: whoever gives it has escaped what came from outside.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

from sluiceway.escape import escape

__all__ = ["ComponentLogger", "ConsoleLines", "JsonLines", "Sampler", "component_logger", "level_number", "timestamp"]

MAX_SAMPLED = 4096
"""How many different messages the sampler tells apart in one tick; further ones share a count by level."""

_SPEAKER = ("otelcol.component.id", "otelcol.component.kind", "otelcol.pipeline.id")
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEVELS = {"CRITICAL": "fatal", "WARNING": "warn"}
_NUMBERS = {"WARN": logging.WARNING, "DPANIC": logging.CRITICAL, "PANIC": logging.CRITICAL, "FATAL": logging.CRITICAL}
_COLOURS = {"debug": "35", "info": "34", "warn": "33", "error": "31", "fatal": "31;1"}


class ComponentLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the fields of its component to those of each call."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        """Join the component's fields and those of the call, which win."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def component_logger(
    kind: str, component: str, *, signal: str = "", pipeline: str = "", logger: logging.Logger | None = None
) -> ComponentLogger:
    """The logger of one component, named by the Collector's fields `otelcol.component.id` and the like."""
    fields = {
        "otelcol.component.id": component,
        "otelcol.component.kind": kind,
        "otelcol.signal": signal,
        "otelcol.pipeline.id": pipeline,
    }
    return ComponentLogger(
        logger or logging.getLogger(f"sluiceway.{kind}"), {key: value for key, value in fields.items() if value}
    )


def level_number(name: str) -> int:
    """The number of a level of `service::telemetry::logs::level`; `dpanic`, `panic` and `fatal` are one here."""
    return _NUMBERS.get(name.upper(), logging.getLevelNamesMapping().get(name.upper(), logging.INFO))


def fields_of(record: logging.LogRecord, *, stacktrace: bool) -> dict[str, Any]:
    """What a record says beside its message: the fields given as `extra`, and the exception if there is one."""
    fields = {key: value for key, value in vars(record).items() if key not in _PLAIN and value is not None}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields["error"] = f"{type(error).__name__}: {error}"
        if stacktrace:
            fields["stacktrace"] = logging.Formatter().formatException(record.exc_info)
    return fields


class ConsoleLines(logging.Formatter):
    """Time, level, place, message and fields, separated by tabs as the Collector does it; `fixed` fields come first."""

    def __init__(
        self,
        fixed: Mapping[str, Any] | None = None,
        *,
        caller: bool = True,
        stacktrace: bool = True,
        colour: bool = False,
    ) -> None:
        super().__init__()
        self._fixed, self._caller, self._stacktrace, self._colour = dict(fixed or {}), caller, stacktrace, colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        level = _level(record)
        words = [timestamp(record.created), f"\x1b[{_COLOURS[level]}m{level}\x1b[0m" if self._colour else level]
        if self._caller:
            words.append(_caller(record))
        words.append(escape(record.getMessage()))
        if fields := self._fixed | fields_of(record, stacktrace=self._stacktrace):
            words.append(_json(fields))
        return "\n".join(filter(None, ("\t".join(words), _block(record))))


class JsonLines(logging.Formatter):
    """One JSON object a line: `level`, `ts`, `caller`, `msg`, then the `fixed` fields and the record's own.

    No field takes the place of one of the first four.
    """

    def __init__(self, fixed: Mapping[str, Any] | None = None, *, caller: bool = True, stacktrace: bool = True) -> None:
        super().__init__()
        self._fixed, self._caller, self._stacktrace = dict(fixed or {}), caller, stacktrace

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, Any] = {"level": _level(record), "ts": timestamp(record.created)}
        if self._caller:
            line["caller"] = _caller(record)
        line["msg"] = record.getMessage()
        if block := _block(record):
            line["block"] = block
        return _json(self._fixed | fields_of(record, stacktrace=self._stacktrace) | line, first=line)


class Sampler(logging.Filter):
    """Of equal messages in one `tick` of seconds, lets the first `initial` pass and then every `thereafter`-th.

    Equal means the same level, the same component and the same text before its arguments are filled in. Errors are
    sampled too, as the Collector does it; `thereafter` zero drops all but the first ones.
    """

    def __init__(
        self, tick: float = 10.0, initial: int = 10, thereafter: int = 100, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._tick, self._initial, self._thereafter, self._now = tick, initial, thereafter, now
        self._ends = now() + tick
        self._seen: dict[tuple[object, ...], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is let through. The same record asked twice counts once."""
        verdict = getattr(record, "_sampled", None)
        if verdict is None:
            verdict = vars(record)["_sampled"] = self._decide(record)
        return bool(verdict)

    def _decide(self, record: logging.LogRecord) -> bool:
        now = self._now()
        if now >= self._ends:
            self._ends = now + self._tick
            self._seen.clear()
        given = vars(record)
        key: tuple[object, ...] = (record.levelno, str(record.msg), *map(given.get, _SPEAKER))
        if key not in self._seen and len(self._seen) >= MAX_SAMPLED:
            key = (record.levelno,)
        seen = self._seen[key] = self._seen.get(key, 0) + 1
        if seen <= self._initial:
            return True
        return self._thereafter > 0 and (seen - self._initial) % self._thereafter == 0


_PLAIN |= {"_sampled", "block"}


def _level(record: logging.LogRecord) -> str:
    return _LEVELS.get(record.levelname, record.levelname.lower())


def timestamp(seconds: float) -> str:
    """Seconds since the Unix epoch as our lines begin: `2020-02-11T20:26:12.345Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _block(record: logging.LogRecord) -> str:
    return str(getattr(record, "block", ""))


def _caller(record: logging.LogRecord) -> str:
    # The file and its folder, as zap shows it.
    return f"{'/'.join(record.pathname.replace(os.sep, '/').rsplit('/', 2)[-2:])}:{record.lineno}"


def _json(value: Mapping[str, Any], first: Iterable[str] = ()) -> str:
    ordered = {key: value[key] for key in (*first, *value)}
    return escape(json.dumps(ordered, ensure_ascii=False, default=str))
