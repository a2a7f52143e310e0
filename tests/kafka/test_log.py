"""librdkafka's lines in our log."""

import logging

import pytest

from sluiceway.kafka.log import Log
from sluiceway.testing import ManualClock


async def test_lines_are_warnings_at_most_and_come_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A broker that is away is told once, however often it is tried; the next minute tells it again."""
    clock = ManualClock()
    log = Log(logging.getLogger("kafka"), clock)
    for attempt in range(3):
        log.log(logging.ERROR, "%s [%s] %s", "FAIL", "p-1", f"[thrd:a]: a:1: refused (after {attempt}ms)")
    await clock.advance(61)
    log.log(logging.ERROR, "%s [%s] %s", "FAIL", "p-1", "[thrd:a]: a:1: refused (after 7ms)")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "librdkafka: FAIL [p-1] a:1: refused (after 0ms)"),
        (logging.WARNING, "librdkafka: FAIL [p-1] a:1: refused (after 7ms)"),
    ]


def test_secrets_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever librdkafka writes, a password of ours does not stand in it."""
    Log(logging.getLogger("kafka"), ManualClock(), ["hunter2"]).log(logging.WARNING, "%s [%s] %s", "A", "p", "hunter2!")
    assert "hunter2" not in caplog.text
    assert "[REDACTED]!" in caplog.text


async def test_a_warning_of_ours_comes_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """As one about commits that fail, which are tried again every second."""
    clock = ManualClock()
    log = Log(logging.getLogger("kafka"), clock)
    for _ in range(3):
        log.warning("not committed")
    await clock.advance(61)
    log.warning("not committed")
    assert [record.getMessage() for record in caplog.records] == ["not committed"] * 2
