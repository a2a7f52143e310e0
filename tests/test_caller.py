"""Who waits for the outcome of a batch, and what is done when nobody does any more."""

from __future__ import annotations

import asyncio

from sluiceway.caller import Caller, have_gone, when_gone, while_waited_for
from sluiceway.testing import settle


def test_hanging_up_rings_once() -> None:
    """The first time is the one that matters, also where a connection says so twice."""
    caller, rung = Caller(), []
    caller.bells.append(lambda: rung.append(1))
    caller.hang_up()
    caller.hang_up()
    assert (caller.has_gone, rung) == (True, [1])


def test_who_was_answered_has_not_gone() -> None:
    """What a call leaves behind, such as a task that goes on, must not take its batches for abandoned."""
    early, late = Caller(), Caller()
    early.hang_up()
    early.answered()
    late.answered()
    late.hang_up()
    assert (early.has_gone, late.has_gone) == (False, False)


def test_who_calls_on_behalf_of_another_goes_with_it() -> None:
    """A connection that is lost ends the calls of every pipeline, those that begin later included."""
    outer = Caller()
    before = Caller(outer)
    outer.hang_up()
    assert (before.has_gone, Caller(outer).has_gone) == (True, True)


def test_an_answered_call_leaves_nothing_behind() -> None:
    """A connection that lives long does not gather the calls that it made."""
    outer = Caller()
    Caller(outer).answered()
    assert outer.bells == []


def test_only_the_last_to_go_matters() -> None:
    """What several wait for is wanted as long as one of them does, and what nobody waits for always is."""
    one, two, rung = Caller(), Caller(), []
    with when_gone([one, two], lambda: rung.append(1)):
        one.hang_up()
        assert (have_gone([one, two]), rung) == (False, [])
        two.hang_up()
    assert (have_gone([one, two]), have_gone([]), rung) == (True, False, [1])
    assert (one.bells, two.bells) == ([], [])


async def test_a_wait_ends_when_its_callers_have_gone() -> None:
    """It ends without an error, at once."""
    caller = Caller()

    async def wait() -> str:
        async with while_waited_for([caller]):
            await asyncio.Event().wait()
        return "ended"

    waiting = asyncio.create_task(wait())
    await settle()
    assert not waiting.done()
    caller.hang_up()
    assert await waiting == "ended"
