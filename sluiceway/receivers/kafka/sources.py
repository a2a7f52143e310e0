"""The settings of the topics: which there are for each signal, and what their messages hold."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from sluiceway.config.settings import mistake
from sluiceway.config.types import Settings
from sluiceway.kafka import is_topic
from sluiceway.otlp import Signal
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.receivers.kafka.encodings import encoding_problem

__all__ = ["Logs", "Metrics", "Profiles", "Source", "Traces"]


class Source(Settings):
    """The topics of one signal, and how their messages are read."""

    signal: ClassVar[Signal | None] = None
    topics: tuple[str, ...] = ()
    """As for logs."""
    encoding: str = "otlp_proto"
    """What a message holds: `otlp_proto` or `otlp_json`, an export request; for logs, too, `text`, `text_<CHARSET>`,
    `raw` or `json`, one record."""
    exclude_topics: tuple[str, ...] = ()
    """RE2 patterns for topics that match a pattern of `topics` and are not read; unanchored."""

    @model_validator(mode="after")
    def _check_topics(self) -> Self:
        patterns = [topic for topic in self.topics if topic.startswith("^")]
        if self.exclude_topics and not patterns:
            raise mistake("exclude_topics needs a pattern in topics: one that begins with ^", "exclude_topics")
        if not self.topics:
            raise mistake("at least one topic is needed", "topics")
        for place, topic in enumerate(self.topics):
            if not topic.startswith("^") and not is_topic(topic):
                raise mistake(f'"{topic[:250]}" cannot be the name of a topic', "topics", place)
        for key in ("topics", "exclude_topics"):
            for place, pattern in enumerate(getattr(self, key)):
                if key == "exclude_topics" or pattern.startswith("^"):
                    _check_pattern(pattern, key, place)
        return self

    @model_validator(mode="after")
    def _check_encoding(self) -> Self:
        if self.signal is not None and (problem := encoding_problem(self.signal, self.encoding)):
            raise mistake(problem, "encoding")
        return self


def _check_pattern(pattern: str, key: str, place: int) -> None:
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise mistake(str(error), key, place) from None


class Traces(Source):
    """The topics that hold traces."""

    signal: ClassVar = Signal.TRACES
    topics: tuple[str, ...] = ("otlp_spans",)
    """As for logs."""


class Metrics(Source):
    """The topics that hold metrics."""

    signal: ClassVar = Signal.METRICS
    topics: tuple[str, ...] = ("otlp_metrics",)
    """As for logs."""


class Logs(Source):
    """The topics that hold logs."""

    signal: ClassVar = Signal.LOGS
    topics: tuple[str, ...] = ("otlp_logs",)
    """Topics; one that begins with `^` is an RE2 pattern for names of topics, which are looked for every
    `metadata::refresh_interval`. Internal topics (`__...`) match no pattern that does not begin with `^__`."""


class Profiles(Source):
    """The topics that hold profiles, which are not read."""

    topics: tuple[str, ...] = ("otlp_profiles",)
    """As for logs."""
