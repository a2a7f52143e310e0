"""A component of several parts is well when all of them are."""

from __future__ import annotations

from sluiceway.component import Context, Kind, Status
from sluiceway.parts import Parts


def test_the_worst_part_counts_until_it_is_well_again() -> None:
    """What one part says does not hide what another one said before."""
    told: list[tuple[Status, str]] = []
    parts = Parts(Context("a", Kind.RECEIVER, report=lambda status, message="": told.append((status, message))))
    files, journal = parts.part(), parts.part()
    files.report(Status.OK, "no files")
    journal.report(Status.RECOVERABLE_ERROR, "no journal")
    files.report(Status.OK)
    files.report(Status.PERMANENT_ERROR, "broken")
    files.report(Status.OK)
    journal.report(Status.OK)
    assert told == [
        (Status.OK, "no files"),
        (Status.RECOVERABLE_ERROR, "no journal"),
        (Status.RECOVERABLE_ERROR, "no journal"),
        (Status.PERMANENT_ERROR, "broken; no journal"),
        (Status.RECOVERABLE_ERROR, "no journal"),
        (Status.OK, ""),
    ]
