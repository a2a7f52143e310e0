"""How many events there were, for a metrics pipeline."""

from __future__ import annotations

from collections import Counter
from typing import Final

from sluiceway.receivers.security_log.ocsf import Event, Outcome
from sluiceway.scraping import Scrape, counter

__all__ = ["EVENTS", "FAILURES", "Counts"]

EVENTS: Final = counter(
    "security.events", "{event}", "Events found in security logs.", "ocsf.class_uid", "outcome", "severity"
)
FAILURES: Final = counter(
    "security.auth.failures",
    "{event}",
    "Attempts to log in, or to act as another user, that failed.",
    "security.preset",
)


class Counts:
    """Counts since the start. Every attribute has few values, none of which comes from a line."""

    def __init__(self) -> None:
        self._events: Counter[tuple[int, str, str]] = Counter()
        self._failures: Counter[str] = Counter()

    def add(self, event: Event, preset: str) -> None:
        """Count an event; one that is said to have happened several times counts so often."""
        kind = event.kind
        self._events[kind.class_uid, kind.outcome.name.lower(), kind.severity.name.lower()] += event.count
        if kind.is_logon and kind.outcome is Outcome.FAILURE:
            self._failures[preset] += event.count

    def write(self, scrape: Scrape) -> None:
        """Record what was counted."""
        for (uid, outcome, severity), count in self._events.items():
            scrape.record(EVENTS, count, {"ocsf.class_uid": uid, "outcome": outcome, "severity": severity})
        for preset, count in self._failures.items():
            scrape.record(FAILURES, count, {"security.preset": preset})
