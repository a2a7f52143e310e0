"""Everything that stands around an exporter, together."""

from __future__ import annotations

import asyncio
from typing import Self

import pytest
from pydantic import BaseModel

from sluiceway.component import Context, Kind, Reason
from sluiceway.errors import RefusedError, RetryableError
from sluiceway.otlp import Signal
from sluiceway.pipelines.branches import ExporterBranch
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.wrap import wrap
from sluiceway.testing import settle
from tests.pipelines.around import Backend, set_up, settings, traces

ALL = "{timeout: 5s, retry_on_failure: , circuit_breaker: , sending_queue: }"


class Living(Backend):
    """A backend with a life, which must be over only after the last export."""

    is_alive = False

    async def __aenter__(self) -> Self:
        self.is_alive = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_alive = False

    async def consume(self, batch):
        assert self.is_alive
        return await super().consume(batch)


def context(**changes: object) -> Context:
    """A context for one signal."""
    return Context("out", Kind.EXPORTER, **{"signals": frozenset([Signal.TRACES]), **changes})


async def test_the_exporter_lives_longer_than_its_queue() -> None:
    """It is entered first and left when everything was flushed."""
    backend, account = Living(), Account("traces", "out")
    wrapped = wrap(backend, settings(ALL), context())
    async with wrapped:
        await ExporterBranch(wrapped, account).consume(traces(3))
    assert account.delivered == 3
    assert not backend.is_alive


async def test_settings_without_any_section_leave_the_exporter_bare() -> None:
    """An exporter's model has those sections that suit it, or none."""

    class Nothing(BaseModel):
        pass

    backend, account = Backend(), Account("traces", "out")
    async with wrap(backend, Nothing(), context()) as wrapped:
        await ExporterBranch(wrapped, account).consume(traces(3))
    assert account.delivered == 3


def test_an_exporter_is_wrapped_for_one_signal() -> None:
    """Batches of different signals cannot be joined."""
    with pytest.raises(ValueError, match="unpack"):
        wrap(Backend(), settings(ALL), context(signals=frozenset([Signal.TRACES, Signal.LOGS])))


async def test_attempts_that_hang_are_repeated_until_one_succeeds() -> None:
    """Timeout, retry and queue work together."""
    setup = set_up(ALL)
    async with setup.wrapped:
        setup.backend.gate.clear()
        await setup.outlet.consume(traces(3))
        await setup.clock.advance(7)
        assert (len(setup.backend.calls), setup.account.held) == (1, 3)
        setup.backend.gate.set()
        await setup.clock.advance(7)
        assert (len(setup.backend.calls), setup.account.delivered) == (2, 3)


async def test_a_dead_backend_is_asked_seldom_and_loses_nothing() -> None:
    """The breaker keeps the number of attempts small, and the data outlives `max_elapsed_time`."""
    setup = set_up(ALL, *[RetryableError("away")] * 100)
    async with setup.wrapped:
        for _ in range(50):
            await setup.outlet.consume(traces(2))
            await setup.clock.advance(12)
        assert (setup.account.held, setup.lost) == (100, {})
        assert len(setup.backend.calls) < 25
        setup.backend.script.clear()
        await setup.clock.advance(120)
        assert (setup.account.held, setup.account.delivered) == (0, 100)


async def test_leaving_with_a_deadline_accounts_for_everything() -> None:
    """A hanging backend cannot hold up the end of the process, and what it held in memory is dropped."""
    setup = set_up(ALL)

    async def live() -> None:
        async with setup.wrapped:
            setup.backend.gate.clear()
            for _ in range(20):
                await setup.outlet.consume(traces(2))

    life = asyncio.create_task(live())
    await setup.clock.advance(1)
    life.cancel()
    await settle()
    assert life.cancelled()
    assert (setup.account.held, setup.lost) == (0, {Reason.SHUTDOWN: 40})


AWAY = RetryableError("away")


@pytest.mark.parametrize("queue", ["", "sending_queue: {wait_for_result: true}"])
async def test_before_receivers_stop_those_who_wait_have_one_attempt_more(queue: str) -> None:
    """A sender that waits for a backend is told to come again before anybody waits for that sender."""
    setup = set_up(f"{{retry_on_failure: , circuit_breaker: , {queue}}}", AWAY, AWAY, AWAY)
    async with setup.wrapped:
        sending = asyncio.create_task(setup.outlet.consume(traces()))
        await settle()
        setup.wrapped.hasten()
        with pytest.raises(RetryableError, match="interrupted due to shutdown"):
            await sending
        assert len(setup.backend.calls) == 2


async def test_before_receivers_stop_those_who_wait_for_room_are_refused() -> None:
    """What the queue has accepted goes on as before; its last attempt is due when the exporter is left."""
    setup = set_up("{retry_on_failure: , sending_queue: {queue_size: 1, block_on_overflow: true}}", AWAY, AWAY)
    async with setup.wrapped:
        await setup.outlet.consume(traces())
        sending = asyncio.create_task(setup.outlet.consume(traces()))
        await settle()
        setup.wrapped.hasten()
        with pytest.raises(RefusedError):
            await sending
        assert (len(setup.backend.calls), setup.account.held) == (1, 1)
    assert (len(setup.backend.calls), setup.lost) == (2, {Reason.SHUTDOWN: 1})
