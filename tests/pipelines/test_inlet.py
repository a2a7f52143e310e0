"""The way through a pipeline: what is accepted, what is refused, and what a fan-out owes to each branch."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.caller import CALLER, Caller
from sluiceway.component import Reason
from sluiceway.errors import PermanentError, RefusedError, RetryableError, TooLargeError
from sluiceway.otlp import Batch, Signal
from sluiceway.pipelines.branches import ConnectorBranch, ExporterBranch, FanOut, PassedCounter
from sluiceway.pipelines.inlet import PATIENCE, Inlet, Link
from sluiceway.pipelines.ledger import Drop, PipelineLedger
from sluiceway.pipelines.request import Request
from sluiceway.testing import ManualClock, MemorySink, settle

BATCH = Batch(Signal.TRACES, b"", 7)


class Exporter(MemorySink):
    """A sink that settles requests, as what stands around an exporter does."""

    takes_at_once = False

    def __init__(self, ledger: PipelineLedger, name: str) -> None:
        super().__init__()
        self.account = ledger.account(name)
        self.losses: list[Reason] = []

    def lost(self, reason: Reason) -> None:
        """Note why data was dropped in front of it."""
        self.losses.append(reason)

    async def send(self, request: Request) -> None:
        """Keep the batch and settle it."""
        await self.consume(request.batch)
        request.deliver()


def pipeline(
    *names: str, shielded: bool = False, clock: ManualClock | None = None
) -> tuple[Inlet, PipelineLedger, list[Exporter]]:
    """A pipeline without processors that ends in one exporter for each name."""
    ledger = PipelineLedger("traces", Signal.TRACES)
    exporters = [Exporter(ledger, name) for name in names]
    ends = [ExporterBranch(exporter, exporter.account) for exporter in exporters]
    inlet = Inlet(ledger, clock or ManualClock())
    inlet.target, inlet.shielded = PassedCounter(FanOut(ends), ledger), shielded
    return inlet, ledger, exporters


async def test_what_goes_through_is_accepted_and_delivered() -> None:
    """A batch that its exporter takes is accepted, delivered, and not missing."""
    inlet, ledger, _ = pipeline("a")
    await inlet.consume(BATCH)
    (balance,) = ledger.balances()
    assert (balance.accepted, balance.delivered, balance.missing) == (7, 7, 0)


async def test_what_raises_was_refused() -> None:
    """A batch that nobody takes is refused, not accepted, and its error reaches the receiver."""
    inlet, ledger, (exporter,) = pipeline("a")
    exporter.error = RefusedError("full", 3)
    with pytest.raises(RefusedError):
        await inlet.consume(BATCH)
    (balance,) = ledger.balances()
    assert (balance.accepted, balance.refused, balance.missing) == (0, 7, 0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RefusedError("full"), Reason.QUEUE_FULL),
        (RefusedError("too fast", reason=Reason.RATE_LIMITED), Reason.RATE_LIMITED),
        (RetryableError("away"), Reason.RETRIES_EXHAUSTED),
        (PermanentError("never"), Reason.PERMANENT_ERROR),
        (TooLargeError("element size too large"), Reason.TOO_LARGE),
        (RuntimeError("bug"), Reason.INTERNAL_ERROR),
    ],
)
async def test_one_failing_branch_costs_itself_alone(error: Exception, reason: Reason) -> None:
    """When siblings took a batch the sender is not told to come again; the branch that failed drops it and says why."""
    inlet, ledger, (good, bad) = pipeline("good", "bad", shielded=True)
    bad.error = error
    await inlet.consume(BATCH)
    assert good.items == 7
    assert (good.losses, bad.losses) == ([], [reason])
    assert ledger.accounts["bad"].dropped == {Drop("bad", reason, intended=False): 7}
    assert [balance.missing for balance in ledger.balances()] == [0, 0]


async def test_all_branches_failing_is_a_refusal_with_the_longest_delay() -> None:
    """When every branch fails the sender keeps the data and comes again after the longest delay asked for."""
    inlet, ledger, (one, two, three) = pipeline("one", "two", "three", shielded=True)
    one.error, two.error, three.error = PermanentError("never"), RefusedError("full", 2), RefusedError("full", 9)
    with pytest.raises(RefusedError) as caught:
        await inlet.consume(BATCH)
    assert caught.value.retry_after == 9
    assert (ledger.accepted, ledger.refused) == (0, 7)


async def test_a_hanging_branch_does_not_hold_up_its_siblings() -> None:
    """Every branch is given the batch at once, whatever the others do."""
    inlet, _, (good, stuck) = pipeline("good", "stuck", shielded=True)
    stuck.gate = asyncio.Event()
    task = asyncio.create_task(inlet.consume(BATCH))
    await settle()
    assert (good.items, stuck.items) == (7, 0)
    stuck.gate.set()
    await task


async def test_a_sender_that_goes_away_does_not_take_its_batch_with_it() -> None:
    """A shielded batch is seen through although whoever sent it was cancelled, and the ledger counts it."""
    inlet, ledger, (_, slow) = pipeline("good", "slow", shielded=True)
    slow.gate = asyncio.Event()
    task = asyncio.create_task(inlet.consume(BATCH))
    await settle()
    task.cancel()
    await settle()
    slow.gate.set()
    await inlet.drained()
    await settle()
    assert task.cancelled()
    assert [(b.accepted, b.delivered, b.missing) for b in ledger.balances()] == [(7, 7, 0), (7, 7, 0)]


async def test_who_is_cancelled_is_held_until_its_attempt_has_ended() -> None:
    """What bounds the number of senders thereby bounds those who have gone; a second cancellation is not held up."""
    inlet, ledger, (slow,) = pipeline("slow", shielded=True)
    slow.gate = asyncio.Event()
    one, two = (asyncio.create_task(inlet.consume(BATCH)) for _ in range(2))
    await settle()
    one.cancel()
    two.cancel()
    await settle()
    assert (one.done(), two.done()) == (False, False)
    two.cancel()
    await settle()
    assert (one.done(), two.cancelled()) == (False, True)
    slow.gate.set()
    await settle()
    assert (one.cancelled(), ledger.accepted, ledger.refused) == (True, 14, 0)


async def test_an_attempt_for_nobody_has_a_bound() -> None:
    """A backend that hangs, where no timeout is set, does not hold for ever what a sender has left."""
    clock = ManualClock()
    inlet, ledger, (stuck,) = pipeline("stuck", shielded=True, clock=clock)
    stuck.gate = asyncio.Event()
    task = asyncio.create_task(inlet.consume(BATCH))
    await settle()
    task.cancel()
    await clock.advance(PATIENCE - 1)
    assert not task.done()
    await clock.advance(1)
    assert (task.cancelled(), ledger.refused, [b.missing for b in ledger.balances()]) == (True, 7, [0])


async def test_a_sender_may_hang_up_without_being_cancelled() -> None:
    """A connection that heard the end of its client still gives the answer, but not after an attempt without end."""
    clock, connection = ManualClock(), Caller()
    inlet, ledger, (exporter,) = pipeline("a", shielded=True, clock=clock)
    CALLER.set(connection)
    exporter.gate = asyncio.Event()
    early = asyncio.create_task(inlet.consume(BATCH))
    await settle()
    connection.hang_up()
    late = asyncio.create_task(inlet.consume(BATCH))
    await settle()
    assert (early.done(), late.done()) == (False, False)
    exporter.gate.set()
    await asyncio.gather(early, late)
    exporter.gate.clear()
    stuck = asyncio.create_task(inlet.consume(BATCH))
    await clock.advance(PATIENCE)
    with pytest.raises(RetryableError):
        await stuck
    assert (ledger.accepted, ledger.refused) == (14, 7)


async def test_a_late_exporter_answers_only_for_its_own_time() -> None:
    """An exporter that a reload attaches later does not owe what was accepted before."""
    inlet, ledger, (first,) = pipeline("first")
    await inlet.consume(BATCH)
    second = Exporter(ledger, "second")
    ends = [ExporterBranch(exporter, exporter.account) for exporter in (first, second)]
    inlet.target, inlet.shielded = PassedCounter(FanOut(ends), ledger), True
    await inlet.consume(BATCH)
    assert [(b.exporter, b.accepted, b.missing) for b in ledger.balances()] == [("first", 14, 0), ("second", 7, 0)]


async def test_a_connector_has_delivered_what_the_next_pipeline_accepted() -> None:
    """Every instance of the connector is given the batch, and a refusal of one is a refusal."""
    account = PipelineLedger("traces", Signal.TRACES).account("link")
    one, two = MemorySink(), MemorySink()
    branch = ConnectorBranch([one, two], account)
    await branch.consume(BATCH)
    two.error = RefusedError("full")
    with pytest.raises(RefusedError):
        await branch.consume(BATCH)
    assert (one.items, account.offered, account.delivered) == (14, 7, 7)


async def test_a_link_leads_where_it_points_now() -> None:
    """A link that is pointed elsewhere sends the next batch there."""
    link, one, two = Link(), MemorySink(), MemorySink()
    link.target = one
    await link.consume(BATCH)
    link.target = two
    await link.consume(BATCH)
    assert (one.items, two.items) == (7, 7)


async def test_a_receiver_of_two_pipelines_accounts_for_the_one_that_refused() -> None:
    """A pipeline that refuses what another one took has accepted and dropped it."""
    one, books_one, _ = pipeline("a")
    two, books_two, (full,) = pipeline("b")
    full.error = RefusedError("full")
    await FanOut([one, two]).consume(BATCH)
    assert (books_one.accepted, books_two.accepted, books_two.refused) == (7, 7, 0)
    assert books_two.dropped == {Drop("receiver", Reason.QUEUE_FULL, intended=False): 7}
