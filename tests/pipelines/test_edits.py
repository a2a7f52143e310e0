"""Editors that run as one walk: where it runs."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.component import Prepared
from sluiceway.otlp import Batch
from sluiceway.otlp.conditions import Compare, FieldOf, Rule
from sluiceway.otlp.plan import Action, Drop, Hash, Level, Plan, Put
from sluiceway.pipelines.edits import LARGE, Edits
from sluiceway.pipelines.flow import Flow
from sluiceway.processors.anonymize import AnonymizeConfig, AnonymizeProcessor
from sluiceway.testing import MemorySink
from tests.pipelines.around import names, traces
from tests.processors.samples import Bench


class Editor:
    """An editor of one action."""

    reads_payload = False

    def __init__(self, action: Action) -> None:
        self.plan = Plan([action])

    def prepare(self, batch: Batch) -> Prepared:
        """Always the same."""
        return Prepared(batch)


@pytest.mark.parametrize(
    ("action", "size", "elsewhere"),
    [
        (Put(Level.ITEM, "k", "v"), LARGE + 1, True),
        (Put(Level.ITEM, "k", "v"), 1000, False),
        (Hash(Level.ITEM, "k"), LARGE + 1, True),
    ],
)
async def test_a_large_batch_is_edited_beside_the_event_loop(action: Action, size: int, elsewhere: bool) -> None:
    """Others are served meanwhile, also where something is asked of Python."""
    sink, batch = MemorySink(), traces(2)
    message = batch.proto()
    message.resource_spans[0].scope_spans[0].spans[1].name = "x" * size
    batch = Batch.from_proto(message)
    editing = asyncio.create_task(Edits([Editor(action)], sink).consume(batch))
    await asyncio.sleep(0)
    assert editing.done() is not elsewhere
    await editing
    assert names(sink.batches[0]) == names(batch)


async def test_a_large_batch_does_not_hold_up_a_small_one() -> None:
    """The small one overtakes it, also where scrubbers look at texts."""
    anonymize = AnonymizeProcessor(AnonymizeConfig(detect=("email",)), Bench().context, None)
    sink, message = MemorySink(), traces(2).proto()
    message.resource_spans[0].scope_spans[0].spans[1].name = "x" * LARGE
    edits = Edits([anonymize], sink)
    large = asyncio.create_task(edits.consume(Batch.from_proto(message)))
    await asyncio.sleep(0)
    await edits.consume(traces(1))
    await large
    assert [batch.items for batch in sink.batches] == [1, 2]


async def test_what_each_editor_lets_out_is_what_its_plan_left() -> None:
    """Flows between editors of one walk are as if each had a walk of its own."""
    batch = traces(4)
    drops = [Drop(Level.ITEM, (Rule(Compare(FieldOf("span.name"), "==", name)),)) for name in names(batch)[::2]]
    flows, into, sink = (Flow(), Flow(), Flow()), Flow(), MemorySink()
    await Edits([Editor(drops[0]), Editor(Put(Level.ITEM, "k", "v")), Editor(drops[1])], sink, flows, into).consume(
        batch
    )
    assert [flow.outgoing for flow in flows] == [3, 3, 2]
    assert [flow.incoming for flow in (*flows[1:], into)] == [3, 3, 2]
    assert sink.items == 2
