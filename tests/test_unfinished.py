"""What is remembered of batches that come again."""

from __future__ import annotations

from sluiceway.testing import spans
from sluiceway.unfinished import Unfinished


def test_the_same_batch_goes_on_and_its_equal_does_not() -> None:
    """It is the object that counts; what was taken is forgotten."""
    unfinished: Unfinished[str] = Unfinished()
    batch, equal = spans(1), spans(1)
    unfinished.keep(batch, "half")
    assert (unfinished.take(equal), unfinished.take(batch), unfinished.take(batch)) == (None, "half", None)


def test_two_who_send_the_same_batch_have_a_state_each() -> None:
    """Pipelines share batches."""
    unfinished: Unfinished[str] = Unfinished()
    batch = spans(1)
    unfinished.keep(batch, "one")
    unfinished.keep(batch, "other")
    assert {unfinished.take(batch), unfinished.take(batch)} == {"one", "other"}


def test_a_batch_that_nobody_has_is_forgotten() -> None:
    """Who gave up on it does not come again, and memory is not kept for it."""
    unfinished: Unfinished[str] = Unfinished()
    batch = spans(1)
    unfinished.keep(batch, "half")
    del batch
    assert len(unfinished) == 0
