"""librdkafka's lines in our log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final

from sluiceway.clock import Clock
from sluiceway.config.files import Logger

__all__ = ["Log"]

REPEATED_AFTER: Final = 60.0
"""Seconds in which a line that only repeats another is not logged again: a broker that is away is one every second."""
MAX_KNOWN: Final = 100
_THREAD: Final = re.compile(r"\[thrd:[^\]]*\]: ")
_NUMBERS: Final = re.compile(r"\d+")


class Log:
    """What librdkafka takes for a logger: it calls `log` whenever it is polled, in the thread that polls.

    No line is an error for us: what an error costs, the pipeline says. Lines that differ in numbers alone are the same.
    """

    def __init__(self, logger: Logger, clock: Clock, secrets: Iterable[str] = ()) -> None:
        self._logger = logger
        self._clock = clock
        self._secrets = tuple(secrets)
        self._said: dict[str, float] = {}

    def log(self, level: int, template: str, *values: object) -> None:
        """Take a line with one of Python's levels."""
        text = self.redacted(_THREAD.sub("", template % values if values else template))
        if self._is_news(text):
            self._logger.log(min(level, logging.WARNING), "librdkafka: %s", text)

    def warning(self, text: str) -> None:
        """Log a warning of ours, which may repeat itself as often."""
        text = self.redacted(text)
        if self._is_news(text):
            self._logger.warning("%s", text)

    def redacted(self, text: str) -> str:
        """A text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[REDACTED]")
        return text

    def _is_news(self, text: str) -> bool:
        line, now = _NUMBERS.sub("", text), self._clock.now()
        if now - self._said.get(line, -REPEATED_AFTER) < REPEATED_AFTER:
            return False
        if len(self._said) >= MAX_KNOWN:
            self._said.clear()
        self._said[line] = now
        return True
