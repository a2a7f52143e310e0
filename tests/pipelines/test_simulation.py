"""A backend that does everything wrong, by seeded chance: the ledger balances whatever happens.

Every run draws its settings, its traffic, the backend's conduct and the moment of shutdown from one seed. Checked at
every quiet point: accepted = delivered + dropped + held. At the end nothing is held, the ledger says exactly what the
backend took, and the backend saw a span twice only if an attempt with it had been reported as failed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest

from sluiceway.caller import CALLER, Caller
from sluiceway.component import Context, Kind, PartialSuccess
from sluiceway.errors import PermanentError, RefusedError, RetryableError, SluicewayError
from sluiceway.otlp import Batch, Signal
from sluiceway.pipelines.branches import ExporterBranch
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.wrap import wrap
from sluiceway.testing import ManualClock, settle
from tests.pipelines.around import Surroundings, names, traces


class Unreliable:
    """A backend whose every call ends in one of ten ways."""

    def __init__(self, random: Random, clock: ManualClock) -> None:
        self.random, self.clock = random, clock
        self.taken: Counter[str] = Counter()
        self.reported_failed: set[str] = set()
        self.rejected = 0

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        spans = names(batch)
        try:
            return await self.answer(spans)
        except BaseException:
            self.reported_failed.update(spans)
            raise

    async def answer(self, spans: list[str]) -> PartialSuccess | None:
        match self.random.randrange(10):
            case 0:
                raise RetryableError("away", code="UNAVAILABLE", retry_after=self.random.choice([None, 2, 1e9]))
            case 1:
                raise PermanentError("no", code=self.random.choice(["INVALID_ARGUMENT", "UNAUTHENTICATED"]))
            case 2:
                raise RefusedError("full")
            case 3:
                raise self.random.choice([ConnectionResetError(), ValueError("bug")])
            case 4:
                await self.clock.sleep(self.random.choice([1, 3, 1000]))
            case 5:
                self.taken.update(spans)  # it has the data, but its answer is lost
                raise RetryableError("reset", code="UNAVAILABLE")
            case 6:
                rejected = self.random.randrange(len(spans) + 1)
                self.taken.update(spans)
                self.rejected += rejected
                return PartialSuccess(rejected, "some")
            case 7:
                await self.clock.sleep(0)
        self.taken.update(spans)
        return None


def draw_settings(random: Random) -> Surroundings:
    """Any combination of sections."""
    text: dict[str, object] = {"timeout": random.choice(["0s", "2s"])}
    if random.random() < 0.7:
        text["retry_on_failure"] = {
            "initial_interval": "1s", "max_interval": "3s", "max_elapsed_time": random.choice(["0s", "8s"]),
        }  # fmt: skip
    if random.random() < 0.5:
        text["circuit_breaker"] = {"consecutive_failures": random.randint(1, 4), "open_delay": "4s"}
    if random.random() < 0.85:
        text["sending_queue"] = {
            "num_consumers": random.randint(1, 4),
            "queue_size": random.randint(20, 60),
            "sizer": random.choice(["requests", "items"]),
            "block_on_overflow": random.random() < 0.5,
            "wait_for_result": random.random() < 0.3,
        } | random.choice([{}, {"batch": {"min_size": 8, "max_size": random.choice([0, 8, 12])}}])
    return Surroundings.model_validate(text)


class Run:
    """One history."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = ManualClock()
        self.backend = Unreliable(self.random, self.clock)
        self.accounts = [Account(f"traces/{number}", "out") for number in range(2)]
        context = Context("out", Kind.EXPORTER, frozenset([Signal.TRACES]), clock=self.clock)
        self.wrapped = wrap(self.backend, draw_settings(self.random), context, random=self.random.random)
        self.senders: set[asyncio.Task[None]] = set()
        self.callers: list[Caller] = []
        self.accepted = {id(account): 0 for account in self.accounts}
        self.leave = asyncio.Event()

    async def send(self) -> None:
        account, batch, caller = self.random.choice(self.accounts), traces(self.random.randint(1, 15)), Caller()
        self.callers.append(caller)
        CALLER.set(caller)
        try:
            await ExporterBranch(self.wrapped, account).consume(batch)
        except (SluicewayError, ValueError):
            return  # refused: still the sender's, and never accepted
        self.accepted[id(account)] += batch.items

    def check(self) -> None:
        for account in self.accounts:
            known = account.delivered + sum(account.dropped.values()) + account.held
            assert self.accepted[id(account)] == known, account

    async def live(self) -> None:
        async with self.wrapped:
            await self.leave.wait()

    async def traffic(self) -> None:
        for _ in range(self.random.randint(5, 60)):
            if self.random.random() < 0.7:
                self.senders.add(asyncio.create_task(self.send()))
            if self.random.random() < 0.2 and self.senders:
                self.random.choice(sorted(self.senders, key=lambda task: int(task.get_name().split("-")[1]))).cancel()
            if self.random.random() < 0.2 and self.callers:
                self.random.choice(self.callers).hang_up()
            if self.random.random() < 0.02:
                self.wrapped.hasten()
            await self.clock.advance(self.random.choice([0, 0, 0.05, 0.3, 2]))
            self.check()

    async def play(self) -> None:
        life = asyncio.create_task(self.live())
        await settle()
        await self.traffic()
        self.leave.set()
        await self.clock.advance(self.random.choice([0, 1, 30]))
        life.cancel()  # the deadline is over
        for sender in self.senders:
            sender.cancel()
        await asyncio.wait([life, *self.senders])
        assert all(sender.cancelled() or sender.exception() is None for sender in self.senders)
        self.check()


@pytest.mark.parametrize("seed", range(150))
async def test_the_ledger_balances_whatever_happens(seed: int) -> None:
    """And nothing is sent again that was not reported as failed."""
    run = Run(seed)
    await run.play()
    assert [account.held for account in run.accounts] == [0, 0]
    twice = {span for span, times in run.backend.taken.items() if times > 1}
    assert twice <= run.backend.reported_failed
    delivered = sum(account.delivered for account in run.accounts)
    assert delivered <= run.backend.taken.total() - run.backend.rejected
