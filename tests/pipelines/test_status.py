"""The board of component states."""

from __future__ import annotations

from sluiceway.component import Status
from sluiceway.pipelines.status import StatusBoard
from sluiceway.testing import ManualClock


def board() -> tuple[StatusBoard, ManualClock, list[str]]:
    """A board on a manual clock, and what it said was fatal."""
    clock, fatal = ManualClock(now=100), []
    return StatusBoard(clock, fatal.append), clock, fatal


def test_the_worst_instance_counts() -> None:
    """Of several instances of a component the worst state is shown."""
    statuses, _, _ = board()
    statuses.record("exporter:x", "traces", Status.OK)
    statuses.record("exporter:x", "logs", Status.RECOVERABLE_ERROR, "away")
    assert statuses.view()["exporter:x"].message == "away"


async def test_a_repeated_status_keeps_its_since() -> None:
    """Saying the same again takes the new message and the old time."""
    statuses, clock, _ = board()
    statuses.record("exporter:x", "", Status.RECOVERABLE_ERROR, "first")
    await clock.advance(5)
    statuses.record("exporter:x", "", Status.RECOVERABLE_ERROR, "second")
    entry = statuses.view()["exporter:x"]
    assert (entry.since, entry.message) == (100, "second")


def test_a_started_component_is_ok_unless_it_said_otherwise() -> None:
    """Having started means OK, but does not hide what the component reported meanwhile."""
    statuses, _, _ = board()
    for name in ("quiet", "loud"):
        statuses.record(name, "", Status.STARTING)
    statuses.record("loud", "", Status.RECOVERABLE_ERROR)
    statuses.started("quiet", "")
    statuses.started("loud", "")
    assert [statuses.view()[name].status for name in ("quiet", "loud")] == [Status.OK, Status.RECOVERABLE_ERROR]


def test_what_is_fatal_is_told() -> None:
    """A fatal error reaches whoever can stop the process."""
    statuses, _, fatal = board()
    statuses.record("receiver:otlp", "", Status.FATAL_ERROR, "socket gone")
    assert fatal == ["receiver:otlp: socket gone"]


def test_what_is_forgotten_is_no_longer_shown() -> None:
    """A component that a reload removed disappears with its last instance."""
    statuses, _, _ = board()
    statuses.record("exporter:x", "traces", Status.OK)
    statuses.forget("exporter:x", "traces")
    assert not statuses.view()


def test_who_was_replaced_is_no_longer_heard() -> None:
    """A reload starts the successor first; that the other one stops says nothing of it."""
    statuses, _, _ = board()
    old, new = object(), object()
    statuses.begin("exporter:x", "", old)
    statuses.begin("exporter:x", "", new)
    statuses.record("exporter:x", "", Status.OK, voice=new)
    statuses.record("exporter:x", "", Status.STOPPED, voice=old)
    assert statuses.view()["exporter:x"].status is Status.OK


def test_who_goes_on_is_heard_again_when_its_successor_did_not_start() -> None:
    """A reload that failed puts the old one back."""
    statuses, _, _ = board()
    old, new = object(), object()
    statuses.begin("exporter:x", "", old)
    statuses.begin("exporter:x", "", new)
    statuses.record("exporter:x", "", Status.PERMANENT_ERROR, "no", voice=new)
    statuses.end("exporter:x", "", new)
    statuses.record("exporter:x", "", Status.OK, voice=old)
    assert statuses.view()["exporter:x"].status is Status.OK
