"""Blocking calls beside the event loop."""

from __future__ import annotations

import threading

import pytest

from sluiceway.telemetry.background import Background, call_within


def test_a_call_that_ends_in_time() -> None:
    """It is said that it has."""
    done = []
    assert call_within(lambda: done.append(1), 10)
    assert done == [1]


def test_a_call_that_hangs_is_left_behind() -> None:
    """Nobody waits for longer than was allowed."""
    gate = threading.Event()
    assert not call_within(lambda: gate.wait(10), 0.01)
    gate.set()


async def test_a_task_waits_as_long_as_it_wants() -> None:
    """And can look again later."""
    gate = threading.Event()
    call = Background(lambda: gate.wait(10))
    assert not await call.wait(0.01)
    assert not call.is_over
    gate.set()
    assert await call.wait(10)


async def test_what_a_call_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It ends the call, and nothing else."""

    def fail() -> None:
        raise ValueError("no")

    assert await Background(fail).wait(10)
    assert "Sending our own telemetry failed" in caplog.text
