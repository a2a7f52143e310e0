"""The schedule of the load, against clients that take their time."""

import asyncio

from sluiceway.generate.load import Load, run
from sluiceway.generate.payloads import templates
from sluiceway.generate.send import Answer
from sluiceway.otlp import Signal
from sluiceway.testing import ManualClock


class Slow:
    """A client that takes so many seconds of a clock's time for each request."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.sent = clock, seconds, []

    async def send(self, payload):
        """Take the payload, in time."""
        self.sent.append(self.clock.now())
        await self.clock.sleep(self.seconds)
        return Answer()


async def test_the_schedule_is_open():
    """Requests go out when they are due, however slow the answers are, and latency counts from then."""
    clock = ManualClock()
    client = Slow(clock, 3.0)
    load = Load(Signal.LOGS, rate=10, duration=4, batch_size=10, in_flight=2)
    running = asyncio.create_task(run(load, [client], templates(Signal.LOGS, 10, distinct=1), [], clock))
    await clock.advance(20)
    report = await running
    assert client.sent == [1000.0, 1001.0, 1003.0, 1004.0]
    assert report.latency_ms == {"p50": 4000.0, "p95": 4000.0, "p99": 4000.0, "max": 4000.0}
    assert report.accepted == 40


async def test_what_is_in_flight_is_bounded():
    """Without a rate there are as many requests under way as allowed, and no more."""
    clock = ManualClock()
    client = Slow(clock, 1.0)
    load = Load(Signal.LOGS, count=50, batch_size=10, in_flight=2)
    running = asyncio.create_task(run(load, [client], templates(Signal.LOGS, 10, distinct=1), [], clock))
    await clock.advance(0.5)
    assert len(client.sent) == 2
    await clock.advance(10)
    assert client.sent == [1000.0, 1000.0, 1001.0, 1001.0, 1002.0]
    assert (await running).accepted == 50


async def test_a_stop_reports_what_was_done():
    """What is under way then has failed, and everything adds up."""
    clock, stop = ManualClock(), asyncio.Event()
    client = Slow(clock, 1.0)
    load = Load(Signal.LOGS, duration=60, batch_size=10, in_flight=2)
    running = asyncio.create_task(run(load, [client], templates(Signal.LOGS, 10, distinct=1), [], clock, stop))
    await clock.advance(1.5)
    stop.set()
    report = await running
    assert (report.sent, report.accepted, report.failed) == (40, 20, 20)


async def test_the_first_refusal_is_told():
    """Once, as what follows may be long silence."""

    class Away:
        async def send(self, payload):
            return Answer("UNAVAILABLE", retryable=True)

    clock, lines = ManualClock(), []
    load = Load(Signal.LOGS, count=20, batch_size=10, in_flight=1, retry_for=2.0)
    running = asyncio.create_task(
        run(load, [Away()], templates(Signal.LOGS, 10, distinct=1), [], clock, tell=lines.append)
    )
    await clock.advance(30)
    assert (await running).failed == 20
    assert lines == ["the first refusal: UNAVAILABLE, refused requests are sent again for 2 s"]
