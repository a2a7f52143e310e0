"""What log receivers have in common: static attributes, operators, and entries that wait for others."""

import asyncio

import pytest

from sluiceway.component import Context, Kind
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.stanza import Entry
from sluiceway.stanza.outlet import Outlet, OutletSettings
from sluiceway.testing import ManualClock


def outlet(yaml: str, done: list, clock: ManualClock) -> Outlet:
    """An outlet whose entries come into `done`."""

    async def finish(entries: list[Entry]) -> None:
        done.append([entry.body for entry in entries])

    settings = decode(OutletSettings, parse(yaml, "test.yaml"))
    return Outlet(settings, Context("x", Kind.RECEIVER, clock=clock), finish)


def entries(*bodies: str) -> list[Entry]:
    """Entries with these bodies."""
    return [Entry(body, 1, {"own": "kept"}, {}) for body in bodies]


async def test_attributes_are_added_before_operators_work() -> None:
    """Texts may hold expressions, what an entry has already stays, and operators see all of it."""
    done, given = [], entries("a", "b")
    yaml = """
        attributes: {own: lost, which: 'line EXPR(body)'}
        resource: {host.name: h}
        operators: [{type: filter, expr: 'attributes.which == "line b"'}]
    """
    async with outlet(yaml, done, ManualClock()) as made:
        await made.deliver(given)
    assert done == [["a"]]
    assert given[0].attributes == {"own": "kept", "which": "line a"}
    assert given[0].resource == {"host.name": "h"}


async def test_entries_that_wait_for_others_go_on_after_a_while_and_at_the_end() -> None:
    """`recombine` keeps them; nothing that was taken stays inside."""
    done, clock = [], ManualClock()
    yaml = """
        operators:
          - {type: recombine, combine_field: body, is_first_entry: 'body startsWith "-"', force_flush_period: 2s}
    """
    async with outlet(yaml, done, clock) as made:
        await made.deliver(entries("-1", "2", "-3"))
        assert done == [["-1\n2"]]
        await clock.advance(3)
        assert done == [["-1\n2"], ["-3"]]
        await made.deliver(entries("-4", "5"))
    assert done == [["-1\n2"], ["-3"], ["-4\n5"]]


async def test_what_is_on_its_way_out_after_waiting_is_still_marked() -> None:
    """Its mark is there until the pipeline has it, so that nobody notes it as delivered; a stop tries it once more."""
    clock, gate, done = ManualClock(), asyncio.Event(), []

    async def finish(given: list[Entry]) -> None:
        await gate.wait()
        done.extend(entry.body for entry in given)

    yaml = "operators: [{type: recombine, combine_field: body, is_first_entry: 'body == \"a\"'}]"
    settings = decode(OutletSettings, parse(yaml, "test.yaml"))
    given = entries("a", "b")
    for number, entry in enumerate(given):
        entry.mark = ("1", number, number)
    async with Outlet(settings, Context("x", Kind.RECEIVER, clock=clock), finish) as made:
        await made.deliver(given)
        seen = [made.marks()]
        await clock.advance(10)
        seen += [made.marks(), list(done)]
        gate.set()
    assert seen == [[("1", 0, 0)], [("1", 0, 0)], []]
    assert made.marks() == []
    assert done == ["a\nb"]


async def test_an_expression_that_fails_costs_its_attribute(caplog: pytest.LogCaptureFixture) -> None:
    """The line goes on without it, whatever stands in the line, and the log says so once."""
    done, given = [], entries("a b", "short", "c d")
    yaml = """
        attributes: {second: 'EXPR(split(body, " ")[1])'}
        resource: {'2': 'EXPR(split(body, " ")[1])', fixed: x}
    """
    async with outlet(yaml, done, ManualClock()) as made:
        await made.deliver(given)
    assert done == [["a b", "short", "c d"]]
    assert [entry.attributes.get("second") for entry in given] == ["b", None, "d"]
    assert given[1].resource == {"fixed": "x"}
    assert len(caplog.records) == 1


async def test_others_get_their_turn_while_many_entries_are_worked_on() -> None:
    """A batch goes through the operators some entries at a time, and in order."""
    done, turns = [], 0

    async def others() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    bodies = [str(number) for number in range(2000)]
    async with outlet("operators: [{type: noop}]", done, ManualClock()) as made:
        await asyncio.gather(made.deliver(entries(*bodies)), others())
    assert done == [bodies]
    assert turns > 5
