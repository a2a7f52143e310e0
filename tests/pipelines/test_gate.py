"""The circuit breaker around an exporter: who waits, who is refused, what counts."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.caller import Caller
from sluiceway.component import Reason, Status
from sluiceway.errors import PermanentError, RefusedError, RetryableError
from sluiceway.testing import settle
from tests.pipelines.around import Setup, set_up, traces

BREAKER = "circuit_breaker: {consecutive_failures: 2, open_delay: 60s, max_open_delay: 600s}"
RETRY = "retry_on_failure: {initial_interval: 1s, max_interval: 1s, max_elapsed_time: 3s}"
QUEUE = "sending_queue: {num_consumers: 3, batch: {min_size: 0}}"


def away() -> RetryableError:
    """What a dead backend says."""
    return RetryableError("away", code="UNAVAILABLE")


async def fail(setup: Setup, times: int) -> None:
    """Send what the backend will not take."""
    for _ in range(times):
        with pytest.raises((RetryableError, PermanentError)):
            await setup.outlet.consume(traces())


async def test_alone_it_refuses_with_the_time_until_the_next_probe() -> None:
    """Without queue and retry the sender is told when to come again, and the backend is left alone."""
    setup = set_up(BREAKER, away(), away())
    await fail(setup, 2)
    await setup.clock.advance(20)
    with pytest.raises(RefusedError, match="circuit breaker is open") as caught:
        await setup.outlet.consume(traces())
    assert caught.value.retry_after == 40
    assert len(setup.backend.calls) == 2


async def test_while_a_probe_is_under_way_others_are_refused() -> None:
    """The probe alone meets the backend."""
    setup = set_up(BREAKER, away(), away())
    await fail(setup, 2)
    await setup.clock.advance(60)
    setup.backend.gate.clear()
    probe = asyncio.create_task(setup.outlet.consume(traces()))
    await settle()
    with pytest.raises(RefusedError):
        await setup.outlet.consume(traces())
    setup.backend.gate.set()
    await probe
    await setup.outlet.consume(traces())
    assert setup.account.delivered == 2


async def test_waiting_for_the_breaker_costs_a_retry_nothing() -> None:
    """The wait is no attempt and does not count towards `max_elapsed_time`, so the data outlives it."""
    setup = set_up(f"{BREAKER}\n{RETRY}", away(), away(), away())
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await setup.clock.advance(1.5)
    assert len(setup.backend.calls) == 2
    await setup.clock.advance(58)
    assert len(setup.backend.calls) == 2
    await setup.clock.advance(200)
    await sending
    assert len(setup.backend.calls) == 4
    assert setup.account.delivered == 1


async def test_without_retry_queued_data_waits_for_the_breaker() -> None:
    """What comes while it is open is kept and goes when a probe has succeeded, one probe first."""
    setup = set_up(f"{BREAKER}\n{QUEUE}", away(), away())
    async with setup.wrapped:
        for _ in range(2):
            await setup.outlet.consume(traces())
            await settle()
        for _ in range(5):
            await setup.outlet.consume(traces())
        await setup.clock.advance(59)
        assert (len(setup.backend.calls), setup.account.held) == (2, 5)
        setup.backend.gate.clear()
        await setup.clock.advance(1)
        assert len(setup.backend.calls) == 3
        setup.backend.gate.set()
    assert setup.account.delivered == 5
    assert setup.lost == {Reason.RETRIES_EXHAUSTED: 2}


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (away(), True),
        (PermanentError("who are you", code="UNAUTHENTICATED"), True),
        (PermanentError("not you", code="PERMISSION_DENIED"), True),
        (PermanentError("bad data", code="INVALID_ARGUMENT"), False),
        (ValueError("a bug of ours"), False),
    ],
)
async def test_only_errors_that_any_data_would_meet_count(error: Exception, opens: bool) -> None:
    """A backend that objects to the data works; one that objects to us does not."""
    setup = set_up(BREAKER, error, error)
    for _ in range(2):
        with pytest.raises(type(error)):
            await setup.outlet.consume(traces())
    assert setup.metric("circuit_breaker_state") == (2 if opens else 0)


async def test_the_state_shows_in_health_metrics_and_log(caplog: pytest.LogCaptureFixture) -> None:
    """Opening is a warning and a recoverable error, closing ends it."""
    caplog.set_level("INFO")
    setup = set_up(BREAKER, away(), away())
    await fail(setup, 2)
    assert setup.statuses[-1] is Status.RECOVERABLE_ERROR
    await setup.clock.advance(60)
    await setup.outlet.consume(traces())
    assert setup.statuses[-1] is Status.OK
    assert setup.metric("circuit_breaker_state") == 0
    texts = [record.message for record in caplog.records if "ircuit" in record.message]
    assert texts == ["Circuit breaker opened. Data waits.", "Circuit breaker closed."]


async def test_at_shutdown_one_probe_decides_over_what_waits() -> None:
    """If it succeeds everything goes, without waiting for the delay."""
    setup = set_up(f"{BREAKER}\n{RETRY}\n{QUEUE}", away(), away())
    async with setup.wrapped:
        for _ in range(6):
            await setup.outlet.consume(traces())
        await settle()
        assert (len(setup.backend.calls), setup.account.held) == (2, 6)
    assert setup.account.delivered == 6


async def test_at_shutdown_a_failed_probe_gives_up_what_waits() -> None:
    """The dead backend is not asked once for every request, and every item is accounted for."""
    setup = set_up(f"{BREAKER}\n{RETRY}\n{QUEUE}", *[away()] * 100)
    async with setup.wrapped:
        for _ in range(20):
            await setup.outlet.consume(traces())
        await settle()
        asked = len(setup.backend.calls)
    assert len(setup.backend.calls) <= asked + 1
    assert (setup.lost, setup.account.held) == ({Reason.SHUTDOWN: 20}, 0)


async def test_a_cancelled_probe_lets_another_one_go() -> None:
    """The breaker does not wait for ever for the end of a call that has no end."""
    setup = set_up(BREAKER, away(), away())
    await fail(setup, 2)
    await setup.clock.advance(60)
    setup.backend.gate.clear()
    probe = asyncio.create_task(setup.outlet.consume(traces()))
    await settle()
    probe.cancel()
    await asyncio.wait([probe])
    setup.backend.gate.set()
    await setup.outlet.consume(traces())
    assert setup.account.delivered == 1


@pytest.mark.parametrize("text", [f"{BREAKER}\n{RETRY}", f"{BREAKER}\nsending_queue: {{wait_for_result: true}}"])
async def test_who_has_gone_does_not_wait_for_a_probe(text: str) -> None:
    """Behind an open breaker there is nothing that could be awaited, so the request ends at once, unsent."""
    setup = set_up(text, away(), away())
    async with setup.wrapped:
        first, caller = Caller(), Caller()
        sending = [setup.send_as(first, traces()), setup.send_as(first, traces())]
        await setup.clock.advance(1)
        sending.append(setup.send_as(caller, traces()))
        await settle()
        calls = len(setup.backend.calls)
        caller.hang_up()
        first.hang_up()
        await settle()
        assert all(isinstance(task.exception(), RetryableError) for task in sending)
        assert len(setup.backend.calls) == calls == 2
