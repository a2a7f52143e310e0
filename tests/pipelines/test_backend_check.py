"""Whether a backend is there is asked after the start, and told."""

from __future__ import annotations

import logging
from typing import ClassVar

import pytest

from sluiceway.component import Status
from sluiceway.errors import RetryableError
from tests.pipelines.around import Backend, Setup, set_up, traces


class Door(Backend):
    """A backend that answers each question with the next of its troubles, and then lets everybody in."""

    def __init__(self, *troubles: Exception) -> None:
        super().__init__()
        self.troubles = list(troubles)
        self.asked = 0

    async def check_backend(self) -> None:
        """Say whether data would be taken."""
        self.asked += 1
        if self.troubles:
            raise self.troubles.pop(0)


def away() -> RetryableError:
    """A backend that nobody can reach."""
    return RetryableError("connection refused", code="UNAVAILABLE", cause="connection refused")


def setup_of(*troubles: Exception) -> Setup:
    """A door behind a queue and retries."""
    return set_up("{retry_on_failure: , sending_queue: }", backend=Door(*troubles))


async def test_trouble_is_told_before_data_come(caplog: pytest.LogCaptureFixture) -> None:
    """The status has the cause soon after the start, and the log has one line of it, however often it is asked."""
    setup = setup_of(*[away() for _ in range(5)])
    async with setup.wrapped:
        await setup.clock.advance(15)
        assert setup.backend.asked == 3
        assert set(setup.statuses) == {Status.RECOVERABLE_ERROR}
    lines = [(record.levelno, record.getMessage(), record.error) for record in caplog.records]
    assert lines == [(logging.WARNING, "The exporter's backend cannot be used.", "connection refused")]


async def test_what_an_operator_must_mend_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password does not go away by waiting."""
    setup = setup_of(RetryableError("no entry", code="UNAUTHENTICATED", advice="check 'password'"))
    async with setup.wrapped:
        await setup.clock.advance(1)
    assert setup.statuses == [Status.RECOVERABLE_ERROR]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_the_end_of_the_trouble_is_told_and_nobody_asks_again(caplog: pytest.LogCaptureFixture) -> None:
    """One good answer is enough."""
    caplog.set_level(logging.INFO)
    setup = setup_of(away())
    async with setup.wrapped:
        await setup.clock.advance(60)
    assert setup.backend.asked == 2
    assert setup.statuses == [Status.RECOVERABLE_ERROR, Status.OK]
    assert caplog.records[-1].getMessage() == "The exporter's backend can be used now."


async def test_a_backend_that_takes_data_is_not_doubted() -> None:
    """A role that may write and not look is no trouble once something was delivered."""
    setup = setup_of(*[away() for _ in range(100)])
    async with setup.wrapped:
        await setup.outlet.consume(traces(3))
        await setup.clock.advance(60)
    assert setup.account.delivered == 3
    assert setup.backend.asked <= 2
    assert setup.statuses[-1] is Status.OK


async def test_a_backend_that_does_not_answer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A question has half a minute; the log says where nothing came from."""

    class Silent(Door):
        destination: ClassVar = {"server.address": "db", "server.port": 5432}

        async def check_backend(self) -> None:
            self.gate.clear()
            await self.gate.wait()

    setup = set_up("{sending_queue: }", backend=Silent())
    async with setup.wrapped:
        await setup.clock.advance(31)
        assert setup.statuses == [Status.RECOVERABLE_ERROR]
    assert [record.error for record in caplog.records] == ["no answer from db:5432 within 30s"]


async def test_whatever_a_check_raises_the_exporter_goes_on() -> None:
    """A fault in a check costs no data."""
    setup = setup_of(ZeroDivisionError("oops"))
    async with setup.wrapped:
        await setup.outlet.consume(traces(3))
        await setup.clock.advance(60)
    assert setup.account.delivered == 3
