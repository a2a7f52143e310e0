"""All checks of one measurement, side by side, and the points that are made of what they found."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sluiceway.clock import Clock
from sluiceway.receivers.http_check.certificate import read_certificate
from sluiceway.receivers.http_check.check import Check, Outcome
from sluiceway.receivers.http_check.metrics import CERTIFICATE, DURATION, ERROR, FAILED, PASSED, PHASES, SIZE, STATUS
from sluiceway.receivers.http_check.settings import Target
from sluiceway.scraping import Scrape

__all__ = ["HttpScraper", "Named", "asked"]

_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")


class Named(NamedTuple):
    """A check, and the attributes of its points."""

    check: Check
    method: str
    attributes: Mapping[str, str]


class Asked(NamedTuple):
    """One URL and method of a target."""

    at: int
    """The target's place among all."""
    url: str
    method: str
    attributes: Mapping[str, str]
    """What tells its points from those of others."""


def asked(targets: Sequence[Target], shown: Callable[[str], str]) -> list[Asked]:
    """Every check that targets ask for. `shown` gives a URL as it may be shown."""
    every = [(at, url, verb) for at, target in enumerate(targets) for url in target.urls for verb in target.verbs]
    often = Counter(shown(url) for _, url, _ in every)
    named = []
    for at, url, verb in every:
        attributes = {"http.url": shown(url)}
        if often[shown(url)] > 1:
            attributes["http.method"] = verb
        graphql = targets[at].graphql
        if graphql is not None and graphql.operation_name:
            attributes["graphql.operation.name"] = graphql.operation_name
        if targets[at].name:
            attributes["httpcheck.target.name"] = targets[at].name
        named.append(Asked(at, url, verb, attributes))
    return named


class HttpScraper:
    """Runs checks side by side, but no more than `most` at once.

    They begin some milliseconds `apart`: handshakes that all came at once would wait for each other, and the steps
    would show that as the servers' time.
    """

    def __init__(
        self, checks: Sequence[Named], most: int, clock: Clock, apart: float, within: float = math.inf
    ) -> None:
        """All of a measurement is over `within` so many seconds, waiting included."""
        self._within = within
        self._checks = checks
        self._free = asyncio.Semaphore(most)
        self._clock = clock
        self._apart = apart

    async def scrape(self, scrape: Scrape) -> None:
        """Check everything once."""
        until = self._clock.now() + self._within
        async with asyncio.TaskGroup() as tasks:
            for number, named in enumerate(self._checks):
                if number:
                    await self._clock.sleep(self._apart)
                tasks.create_task(self._check(named, scrape, until))

    async def _check(self, named: Named, scrape: Scrape, until: float) -> None:
        async with self._free:
            try:
                outcome = await named.check.run(until)
            except Exception as failure:  # noqa: BLE001 - what goes wrong with one check, such as its credentials, is its own
                scrape.problem(f"{named.attributes['http.url']}: {type(failure).__name__}: {failure}")
                return
        record(named, outcome, scrape)


def record(named: Named, outcome: Outcome, scrape: Scrape) -> None:
    """Make points of what a check found."""
    around = named.attributes
    for number, status_class in enumerate(_CLASSES, 1):
        attributes: dict[str, str | int] = {**around, "http.method": named.method, "http.status_class": status_class}
        is_it = outcome.status // 100 == number
        if is_it:
            attributes["http.status_code"] = outcome.status
        scrape.record(STATUS, int(is_it), attributes)
    scrape.record(DURATION, round(outcome.duration * 1000), around)
    if outcome.error:
        scrape.record(ERROR, 1, {**around, "error.message": outcome.error})
    for step, seconds in outcome.steps.spent.items():
        extra = {"network.transport": "tcp"} if step == "connect" else {}
        scrape.record(PHASES[step], round(seconds * 1000), {**around, **extra})
    if outcome.size is not None:
        scrape.record(SIZE, outcome.size, around)
    for metric, counts in ((PASSED, outcome.passed), (FAILED, outcome.failed)):
        for kind, count in counts.items():
            scrape.record(metric, count, {**around, "validation.type": kind})
    if outcome.certificate is not None and scrape.metrics.enables(CERTIFICATE):
        _record_certificate(around, outcome.certificate, scrape)


def _record_certificate(around: Mapping[str, str], der: bytes, scrape: Scrape) -> None:
    certificate = read_certificate(der)
    if certificate is not None:
        of = {
            "http.tls.issuer": certificate.issuer,
            "http.tls.cn": certificate.name,
            "http.tls.san": certificate.names,
        }
        scrape.record(CERTIFICATE, (certificate.expires - scrape.time) // 10**9, {**around, **of})
