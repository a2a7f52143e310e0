"""What a backend refuses for good is taken apart: who is spared, and what it costs the backend."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.component import PartialSuccess, Reason, Status
from sluiceway.errors import PermanentError, RetryableError
from sluiceway.otlp import Batch
from sluiceway.pipelines.batching import DISTANCE
from sluiceway.pipelines.bisection import ALLOWANCE
from sluiceway.pipelines.branches import ExporterBranch
from sluiceway.pipelines.ledger import Account
from sluiceway.testing import settle
from tests.pipelines.around import Backend, Setup, names, set_up, traces

QUEUE = "sending_queue: {num_consumers: 1}"
ONE_BY_ONE = "sending_queue: {num_consumers: 1, batch: {min_size: 0}}"
RETRY = "retry_on_failure: {initial_interval: 1s, max_interval: 1s, max_elapsed_time: 3s}"


class Picky(Backend):
    """Refuses every request that holds a poisonous span or more spans than `largest`, as data that it will not have."""

    def __init__(self, poison: set[str], largest: int = 10_000, code: str = "INVALID_ARGUMENT") -> None:
        super().__init__()
        self.poison, self.largest, self.code = poison, largest, code

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        if self.poison & set(names(batch)) or batch.items > self.largest:
            self.calls.append(batch)
            raise PermanentError("no", code=self.code)
        return await super().consume(batch)


async def join(setup: Setup, *batches: Batch) -> list[Account]:
    """Have the batches of several senders go as one request, and give the account of each."""
    accounts = [Account(f"traces/{number}", "out") for number in range(len(batches))]
    async with setup.wrapped:
        setup.backend.gate.clear()
        await setup.outlet.consume(traces())
        await settle()
        for account, batch in zip(accounts, batches, strict=True):
            await ExporterBranch(setup.wrapped, account).consume(batch)
        setup.backend.gate.set()
    return accounts


async def test_one_bad_span_costs_nobody_elses_data() -> None:
    """It is dropped for its own sender, with its reason, and all others are delivered, once each."""
    batches = [traces(100) for _ in range(4)]
    setup = set_up(QUEUE, backend=Picky({names(batches[2])[41]}))
    accounts = await join(setup, *batches)
    assert [account.delivered for account in accounts] == [100, 100, 99, 100]
    assert [{drop.reason: n for drop, n in account.dropped.items()} for account in accounts] == [
        {}, {}, {Reason.PERMANENT_ERROR: 1}, {},
    ]  # fmt: skip
    sent = [span for batch in setup.backend.taken for span in names(batch)]
    assert len(sent) == len(set(sent)) == 400
    assert len(setup.backend.calls) - 2 <= 2 * 9  # 400 spans are halved nine times at most
    assert setup.statuses[-1] is Status.OK
    assert setup.metric("sent_spans") == 400
    assert setup.metric("send_failed_spans") == 1


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"])
async def test_what_is_too_large_goes_in_parts(code: str) -> None:
    """Nothing of it is lost."""
    setup = set_up(QUEUE, backend=Picky(set(), 30, code))
    accounts = await join(setup, traces(100), traces(1))
    assert [account.delivered for account in accounts] == [100, 1]
    assert max(setup.backend.sizes) <= 30


async def test_a_backend_that_refuses_everything_soon_sees_each_request_once() -> None:
    """The allowance is spent once, not for each request."""
    setup = set_up(ONE_BY_ONE, backend=Picky(set(), largest=0))
    async with setup.wrapped:
        for _ in range(100):
            await setup.outlet.consume(traces(50))
            await setup.clock.advance(DISTANCE)
    assert len(setup.backend.calls) == 100 + ALLOWANCE
    assert setup.lost == {Reason.PERMANENT_ERROR: 5000}


async def test_a_backend_that_works_again_restores_the_allowance() -> None:
    """Ten requests that are taken pay for one more."""
    backend = Picky(set(), largest=0)
    setup = set_up(ONE_BY_ONE, backend=backend)
    async with setup.wrapped:
        await setup.outlet.consume(traces(500))
        await setup.clock.advance(DISTANCE)
        backend.largest = 10_000
        for _ in range(30):
            await setup.outlet.consume(traces())
            await setup.clock.advance(DISTANCE)
        bad = traces(2)
        backend.poison = set(names(bad)[:1])
        await setup.outlet.consume(bad)
    assert setup.lost == {Reason.PERMANENT_ERROR: 501}
    assert setup.account.delivered == 31


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "UNIMPLEMENTED", "FAILED_PRECONDITION", ""])
async def test_what_says_nothing_of_the_data_is_not_taken_apart(code: str) -> None:
    """Parts would fare no better."""
    setup = set_up(QUEUE, backend=Picky(set(), 0, code))
    async with setup.wrapped:
        await setup.outlet.consume(traces(50))
    assert len(setup.backend.calls) == 1
    assert setup.lost == {Reason.PERMANENT_ERROR: 50}


async def test_without_a_queue_the_sender_learns_of_the_refusal() -> None:
    """Its request is nobody else's, and it has it still."""
    setup = set_up("{}", backend=Picky(set(), largest=1))
    with pytest.raises(PermanentError):
        await setup.outlet.consume(traces(2))
    assert len(setup.backend.calls) == 1
    assert setup.lost == {}


async def test_with_wait_for_result_only_the_sender_of_the_bad_span_is_told() -> None:
    """The others were joined with it by our doing; of what it sent nothing is delivered, since it may come again."""
    batches = [traces(), traces(100), traces(3)]
    bad = set(names(batches[1])[40:41])
    setup = set_up("sending_queue: {wait_for_result: true, num_consumers: 1}", backend=Picky(bad))
    async with setup.wrapped:
        setup.backend.gate.clear()
        first = asyncio.create_task(setup.outlet.consume(traces()))
        await settle()
        senders = [asyncio.create_task(setup.outlet.consume(batch)) for batch in batches]
        await settle()
        setup.backend.gate.set()
        outcomes = await asyncio.gather(first, *senders, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), PermanentError, type(None)]
    assert setup.backend.sizes == [1, 1, 3]
    assert (setup.account.delivered, setup.lost) == (5, {})


async def test_each_half_is_repeated_like_any_request() -> None:
    """A backend that goes away in the middle costs nothing."""
    setup = set_up(f"{{{QUEUE}, {RETRY}}}", PermanentError("no", code="INVALID_ARGUMENT"), RetryableError("away"))
    async with setup.wrapped:
        await setup.outlet.consume(traces(10))
        await setup.clock.advance(2)
    assert setup.backend.sizes == [5, 5]
    assert setup.account.delivered == 10


async def test_halves_that_were_not_sent_when_the_deadline_was_over_are_accounted_for() -> None:
    """The half under way and those behind it are dropped with reason SHUTDOWN."""
    setup = set_up(QUEUE, backend=Picky(set(), largest=4))
    setup.backend.gate.clear()

    async def live() -> None:
        async with setup.wrapped:
            await setup.outlet.consume(traces(8))

    life = asyncio.create_task(live())
    await settle()
    assert len(setup.backend.calls) == 2
    life.cancel()
    await asyncio.wait([life])
    assert (setup.account.held, setup.account.delivered, setup.lost) == (0, 0, {Reason.SHUTDOWN: 8})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.sets(st.integers(0, 359), max_size=25),
    st.sampled_from([7, 50, 10_000]),
)
async def test_all_that_can_be_taken_is_taken_at_a_bounded_price(sizes: list[int], places: set[int], most: int) -> None:
    """Wherever the bad spans are, every account balances, and none but they are lost."""
    batches = [traces(size) for size in sizes]
    everything = [span for batch in batches for span in names(batch)]
    poison = {everything[place] for place in places if place < len(everything)}
    setup = set_up(QUEUE, backend=Picky(poison, most))
    accounts = await join(setup, *batches)
    backend = setup.backend
    assert len(backend.calls) <= len(batches) + 1 + 2 * len(backend.taken) + ALLOWANCE
    for account, batch in zip(accounts, batches, strict=True):
        lost = len(poison & set(names(batch)))
        assert (account.held, account.delivered, sum(account.dropped.values())) == (0, batch.items - lost, lost)
