"""`forward`: passes on what it gets."""

from __future__ import annotations

import pytest

from sluiceway.component import Context, Kind
from sluiceway.connectors.forward import COMPONENT
from sluiceway.errors import RefusedError
from sluiceway.otlp import Batch, Signal
from sluiceway.testing import MemorySink

BATCH = Batch(Signal.LOGS, b"", 3)
CONTEXT = Context(id="forward", kind=Kind.CONNECTOR)


def test_it_has_no_settings_and_takes_every_signal() -> None:
    """`forward:` is all there is to write, and what comes out has the signal of what came in."""
    assert COMPONENT.config.model_validate(None).model_dump() == {}
    assert (COMPONENT.signals, COMPONENT.emits) == (frozenset(Signal), None)


async def test_batches_pass_as_they_are() -> None:
    """The very same batch comes out."""
    sink = MemorySink()
    await COMPONENT.create(COMPONENT.config(), CONTEXT, sink).consume(BATCH)
    assert sink.batches == [BATCH]
    assert sink.batches[0] is BATCH


async def test_refusals_pass_back() -> None:
    """What the pipelines behind refuse is refused to the sender."""
    sink = MemorySink()
    sink.error = RefusedError("full", 3)
    with pytest.raises(RefusedError):
        await COMPONENT.create(COMPONENT.config(), CONTEXT, sink).consume(BATCH)
