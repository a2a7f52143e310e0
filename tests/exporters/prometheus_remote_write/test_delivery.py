"""What a receiver answers and what follows, against a server on loopback whose answers a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import cramjam
import pytest

from sluiceway.component import PartialSuccess
from sluiceway.config.load import load
from sluiceway.errors import PermanentError, RetryableError
from sluiceway.otlp import join
from sluiceway.otlp.metrics import Temporality
from sluiceway.pipelines.branches import ExporterBranch
from sluiceway.pipelines.ledger import Account
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, settle
from tests.exporters.backends import HttpBackend
from tests.exporters.prometheus_remote_write.bench import V2, exporter, gauges, metrics, received, wrapped
from tests.exporters.prometheus_remote_write.reading import Read, bits, read

AT = 1_700_000_000_000_000_000
WRITTEN = "X-Prometheus-Remote-Write-{}-Written"
SMALL = "max_batch_size_bytes: 1, target_info: {enabled: false}"
"""A request for each series."""


NO_INFO = "target_info: {enabled: false}"
SCRIPT = (204, 400, 204, 503, 400, 400, 204, 204)


@dataclass
class Scripted(HttpBackend):
    """Answers each request with the next of these statuses, and with its own when there are none left."""

    script: list[int] = field(default_factory=list)

    async def _answer(self, reader, writer):
        usual = self.status
        if self.script:
            self.status = self.script.pop(0)
        try:
            await super()._answer(reader, writer)
        finally:
            self.status = usual


@pytest.fixture
async def backend():
    """A receiver that listens."""
    async with Scripted(status=204).running() as running:
        yield running


def url(backend) -> str:
    """Where it is."""
    return f"http://127.0.0.1:{backend.port}/api/v1/write"


def counts(samples=0, histograms=0, exemplars=0) -> dict[str, str]:
    """The headers that say what was written."""
    numbers = {"Samples": samples, "Histograms": histograms, "Exemplars": exemplars}
    return {WRITTEN.format(name): str(number) for name, number in numbers.items()}


def rooms(backend, second=False) -> list[str]:
    """The series that arrived, in order of arrival."""
    return [dict(one.labels)["room"] for request in received(backend, second=second) for one in request]


async def arrived(backend, requests: int) -> None:
    """Wait for so many requests."""
    while len(backend.requests) < requests:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)


async def test_the_first_message_has_its_headers(backend):
    """As the specification of 1.0 has it; what the user adds goes along."""
    async with exporter(url(backend), "headers: {X-Scope-OrgID: t1}, target_info: {enabled: false}") as out:
        assert await out.consume(gauges(AT)) is None
    ((line, headers, _),) = backend.requests
    assert line == "POST /api/v1/write HTTP/1.1"
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["content-encoding"] == "snappy"
    assert headers["x-prometheus-remote-write-version"] == "0.1.0"
    assert headers["x-scope-orgid"] == "t1"
    assert headers["user-agent"].startswith("sluiceway/")


async def test_the_second_message_has_its_headers_and_metadata(backend):
    """As the specification of 2.0 has it."""
    backend.headers = counts(samples=1)

    def write(into):
        into.sum("jobs", "By", "How many.").add(5, time=AT, start=AT - 10**10)

    async with exporter(url(backend), f"{V2}, target_info: {{enabled: false}}") as out:
        assert await out.consume(metrics(write)) is None
    ((_, headers, _),) = backend.requests
    assert headers["content-type"] == "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    assert headers["x-prometheus-remote-write-version"] == "2.0.0"
    ((one,),) = received(backend, second=True)
    assert dict(one.labels)["__name__"] == "jobs_bytes_total"
    assert one.metadata == (1, "How many.", "bytes")
    assert one.samples == [(AT // 10**6, AT // 10**6 - 10_000, bits(5.0))]


@pytest.mark.parametrize("status", [*range(300, 304), *range(400, 520)])
@pytest.mark.parametrize("second", [False, True])
async def test_each_status_is_sorted_by_the_table(backend, status, second):
    """429 and 5xx may come again, as may what speaks of the settings; all else is final."""
    backend.status, backend.headers, backend.answer = status, {"Retry-After": "7", "Location": "/x"}, b"no\nway"
    waits = status in (401, 403, 404, 405, 407, 415, 429, 501) or status >= 500
    async with exporter(url(backend), V2 if second else "") as out:
        with pytest.raises(RetryableError if waits else PermanentError, match=rf"status {status}: no\\nway") as caught:
            await out.consume(gauges(AT))
    delay = getattr(caught.value, "retry_after", None)
    assert delay == (7.0 if status == 429 or (status >= 500 and status != 501) else None)
    halved = caught.value.code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED") and not waits
    assert halved == (status in (400, 413, 422))


async def test_a_wrong_message_is_named(backend):
    """415 says which setting to look at, and the data waits."""
    backend.status = 415
    async with exporter(url(backend), V2) as out:
        with pytest.raises(RetryableError, match=r"protobuf_message \(io.prometheus.write.v2.Request\)"):
            await out.consume(gauges(AT))


async def test_a_receiver_of_the_first_message_that_takes_the_second_is_found_out(backend):
    """It answers 2xx and has written nothing: without its headers the data waits."""
    async with exporter(url(backend), V2) as out:
        with pytest.raises(RetryableError, match="HTTP 204 without a word of what was written") as caught:
            await out.consume(gauges(AT))
    assert "it knows remote write 1.0 only" in caught.value.advice


@pytest.mark.parametrize("status", [204, 400])
async def test_what_was_not_written_is_counted(backend, status):
    """The second message's headers tell of a partial write; what was written is not sent again."""
    backend.status, backend.headers = status, counts(samples=7)
    async with exporter(url(backend), f"{V2}, target_info: {{enabled: false}}") as out:
        told = await out.consume(gauges(AT, 10))
    assert isinstance(told, PartialSuccess)
    assert (told.rejected, told.batch) == (3, None)
    assert len(backend.requests) == 1


async def test_only_what_failed_is_sent_again(backend):
    """Of several requests of a batch those that arrived stay away."""
    backend.script = [204, 503, 204, 429, 204]
    batch = gauges(AT, 5)
    async with exporter(url(backend), f"{SMALL}, max_batch_request_parallelism: 1") as out:
        with pytest.raises(RetryableError):
            await out.consume(batch)
        assert rooms(backend) == ["r0", "r1", "r2", "r3", "r4"]
        assert await out.consume(batch) is None
    assert rooms(backend)[5:] == ["r1", "r3"]


async def test_one_refused_request_of_several_is_given_back(backend):
    """A single point cannot go in halves: it is counted and kept."""
    backend.script = [204, 400, 204]
    async with exporter(url(backend), f"{SMALL}, max_batch_request_parallelism: 1") as out:
        told = await out.consume(gauges(AT, 3))
    assert told.rejected == told.batch.items == 1
    (point,) = told.batch.proto().resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    assert point.attributes[0].value.string_value == "r1"


async def test_a_refused_request_of_several_goes_in_halves(backend):
    """What arrived stays away; a try that fails meanwhile goes on where it was, and one point is lost at last."""
    backend.script = list(SCRIPT)
    batch = gauges(AT, 12)
    more = "max_batch_size_bytes: 700, target_info: {enabled: false}, max_batch_request_parallelism: 1"
    async with exporter(url(backend), more) as out:
        with pytest.raises(RetryableError):
            await out.consume(batch)
        told = await out.consume(batch)
    sizes = [len(request) for request in received(backend)]
    assert sizes == [4, 4, 4, 2, 2, 1, 1, 2]
    assert told.rejected == told.batch.items == 1
    taken = [one for request, status in zip(received(backend), SCRIPT, strict=True) if status == 204 for one in request]
    assert sorted(dict(one.labels)["room"] for one in taken) == sorted(f"r{n}" for n in range(12) if n != 4)


async def test_requests_of_a_batch_go_at_the_same_time(backend):
    """As many as `max_batch_request_parallelism` says."""
    backend.gate = asyncio.Event()
    three = exporter(url(backend), f"{SMALL}, max_batch_request_parallelism: 3")
    async with three as out, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(out.consume(gauges(AT, 8)))
        await arrived(backend, 3)
        await settle(200)
        assert len(backend.requests) == 3
        backend.gate.set()
    assert len(backend.requests) == 8
    assert backend.connections == 3


async def test_batches_go_one_after_the_other(backend):
    """Without a queue too, so that the samples of a series keep their order."""
    async with exporter(url(backend), "target_info: {enabled: false}") as out, asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(out.consume(gauges(AT + number * 10**9)))
    times = [one.samples[0][0] for (one,) in received(backend)]
    assert times == sorted(times)
    assert backend.connections == 1


async def test_a_refused_resource_costs_nothing(backend):
    """`target_info` goes in a request of its own; somebody else may have told of it later."""
    backend.script = [204, 400]
    async with exporter(url(backend), "max_batch_request_parallelism: 1") as out:
        assert await out.consume(gauges(AT)) is None
    first, second = received(backend)
    assert [dict(one.labels)["__name__"] for one in first + second] == ["temperature", "target_info"]


async def test_a_resource_is_told_of_every_half_a_minute(backend):
    """At the time of its latest point; one from a wrong clock does not silence it for years."""
    clock = ManualClock()
    async with exporter(url(backend), clock=clock) as out:
        for seconds in (0, 10, 29, 30, 31, 75, 10**9, 80, 90):
            await clock.advance(seconds if seconds == 10**9 else 0)
            await out.consume(gauges(AT + seconds * 10**9))
    times = [
        one.samples[0][0] - AT // 10**6
        for request in received(backend)
        for one in request
        if dict(one.labels)["__name__"] == "target_info"
    ]
    assert times == [0, 30_000, 75_000, 10**12, 80_000]


def jobs(at: int, value: int, *more):
    """A batch with a delta point."""

    def write(into):
        into.sum("jobs", temporality=Temporality.DELTA).add(value, time=at, start=at - 1)

    return metrics(write, *more)


def totals(backend, name="jobs_total") -> list[int]:
    """The values of the counter as they arrived."""
    found = [one.samples for request in received(backend) for one in request if dict(one.labels)["__name__"] == name]
    return [number for samples in found for _, _, number in samples]


async def test_a_delta_that_is_sent_again_is_added_once(backend):
    """However often its batch was tried."""
    backend.script = [503, 503]
    first = jobs(AT, 5)
    async with exporter(url(backend), "delta_to_cumulative: {}, target_info: {enabled: false}") as out:
        for _ in range(2):
            with pytest.raises(RetryableError):
                await out.consume(first)
        await out.consume(first)
        await out.consume(jobs(AT + 10**9, 7))
    assert totals(backend) == [bits(5.0), bits(5.0), bits(5.0), bits(12.0)]


@dataclass
class Choosy(HttpBackend):
    """Answers as `choose` says of each request's series, and keeps what it took."""

    choose: Callable[[set[str]], int] = lambda _names: 204
    taken: list[Read] = field(default_factory=list)

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = await reader.readexactly(size)
        again = asyncio.StreamReader()
        again.feed_data(head + body)
        found = read(bytes(cramjam.snappy.decompress_raw(body)), second=False)
        self.status = self.choose({text for one in found for _, text in one.labels})
        if self.status == 204:
            self.taken += found
        await super()._answer(again, writer)


def poisonous(names: set[str]) -> int:
    """A status that refuses all that has a certain series."""
    return 400 if "poison" in names else 204


def total(backend: Choosy, name: str) -> int:
    """The newest value that was taken of a series."""
    return [one for one in backend.taken if dict(one.labels)["__name__"] == name][-1].samples[-1][2]


async def test_a_delta_in_a_refused_batch_is_added_once():
    """The batch goes again in halves: what was added is taken back before."""
    account = Account("metrics", "out")
    async with Choosy(choose=poisonous).running() as backend:
        out = wrapped(url(backend), "delta_to_cumulative: {}, target_info: {enabled: false}")
        async with out, asyncio.timeout(20):
            branch = ExporterBranch(out, account)
            await branch.consume(jobs(AT, 5))
            poison = gauges(AT, name="poison")
            await branch.consume(join([jobs(AT + 10**9, 7), poison, jobs(AT + 2 * 10**9, 1)]))
    assert total(backend, "jobs_total") == bits(13.0)
    assert (account.delivered, sum(account.dropped.values())) == (3, 1)


def counters(at: int, *names: str):
    """A batch with a delta of five for each name."""
    return metrics(
        *(lambda into, n=n: into.sum(n, temporality=Temporality.DELTA).add(5, time=at, start=at - 1) for n in names)
    )


async def test_deltas_of_a_request_refused_beside_others_go_in_halves():
    """What the others added stays, what a part added that is refused or cut off is taken back."""
    broken: list[int] = []

    def choose(names):
        return broken.pop() if broken and "a_total" in names and "poison" not in names else poisonous(names)

    async with Choosy(choose=choose).running() as backend:
        more = "delta_to_cumulative: {}, target_info: {enabled: false}, max_batch_size_bytes: 400"
        async with exporter(url(backend), more) as out:
            await out.consume(counters(AT, "a", "b", "c", "d"))
            assert len(backend.requests) > 1
            broken.append(503)
            batch = join([counters(AT + 10**9, "a", "b", "c"), gauges(AT, name="poison"), counters(AT + 10**9, "d")])
            with pytest.raises(RetryableError):
                await out.consume(batch)
            told = await out.consume(batch)
    assert told.rejected == told.batch.items == 1
    assert {name: total(backend, f"{name}_total") for name in "abcd"} == dict.fromkeys("abcd", bits(10.0))


async def test_a_delta_comes_again_in_a_payload_of_its_own(backend):
    """Without a queue a sender who was refused sends the same bytes anew: only what has not arrived goes again."""
    backend.script = [204, 503, 204]
    first = counters(AT, "a", "b", "c")
    more = f"delta_to_cumulative: {{}}, sending_queue: {{enabled: false}}, {SMALL}, max_batch_request_parallelism: 1"
    async with exporter(url(backend), more) as out:
        with pytest.raises(RetryableError):
            await out.consume(first)
        again = first.with_payload(bytes(bytearray(first.payload)), first.items)
        assert again.payload is not first.payload
        assert await out.consume(again) is None
    names = [dict(one.labels)["__name__"] for request in received(backend) for one in request]
    assert names == ["a_total", "b_total", "c_total", "b_total"]
    assert received(backend)[3][0].samples == received(backend)[1][0].samples == [(AT // 10**6, 0, bits(5.0))]


async def test_deltas_that_another_batch_overtook_go_in_halves():
    """What they added stays, and their halves show the newest sums: one point is lost, and nothing is added twice."""
    answers = [503]

    def choose(names):
        return answers.pop() if answers else poisonous(names)

    async with Choosy(choose=choose).running() as backend:
        more = "delta_to_cumulative: {}, target_info: {enabled: false}, sending_queue: {enabled: false}"
        async with exporter(url(backend), more) as out:
            first = join([counters(AT, "a", "b"), gauges(AT, name="poison"), counters(AT, "c")])
            with pytest.raises(RetryableError):
                await out.consume(first)
            assert await out.consume(counters(AT + 10**9, "a")) is None
            told = await out.consume(first)
    assert told.rejected == told.batch.items == 1
    assert "HTTP status 400" in told.message
    assert {name: total(backend, f"{name}_total") for name in "abc"} == {"a": bits(10.0)} | dict.fromkeys(
        "bc", bits(5.0)
    )


@pytest.mark.parametrize("second", [400, 503])
async def test_a_part_that_is_refused_or_cut_off_keeps_its_own_sums(second):
    """Each time it is encoded as if it never had been: every sample has the sum of its own time."""
    answers = [400, second]

    def choose(names):
        return answers.pop(0) if answers else poisonous(names)

    times = [AT, AT + 10**9]
    batch = join([*(jobs(at, 5) for at in times), gauges(AT, name="poison")])
    backend, more = Choosy(choose=choose), "delta_to_cumulative: {}, target_info: {enabled: false}"
    async with backend.running(), exporter(url(backend), more) as out:
        if second == 503:
            with pytest.raises(RetryableError):
                await out.consume(batch)
        told = await out.consume(batch)
    assert told.rejected == 1
    samples = [sample for one in backend.taken for sample in one.samples]
    assert samples == [(at // 10**6, 0, bits(5.0 * number)) for number, at in enumerate(times, 1)]


async def test_a_refused_delta_stays_in_the_sum():
    """Who refuses a sample may have a later one: a sum that fell would be a reset that never was."""
    refused = [400, 400, 400]
    choosy = Choosy(choose=lambda _: refused.pop() if refused else 204)
    more = "delta_to_cumulative: {}, target_info: {enabled: false}"
    async with choosy.running() as backend, exporter(url(backend), more) as out:
        with pytest.raises(PermanentError):
            await out.consume(join([jobs(AT, 5), jobs(AT + 10**9, 7)]))
        assert await out.consume(jobs(AT + 2 * 10**9, 1)) is None
    assert total(backend, "jobs_total") == bits(13.0)


async def test_sums_go_on_after_a_reload(backend):
    """Whatever it changed but names and sizes, with which they begin anew."""
    yaml = f"""
receivers:
  feed: {{component: sluiceway.testing:Feeder}}
exporters:
  prometheus_remote_write: {{endpoint: '{url(backend)}', delta_to_cumulative: {{}}, MORE}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [feed], exporters: [prometheus_remote_write]}}
"""
    at = AT
    async with Collector.from_yaml(yaml.replace("MORE", "timeout: 5s")) as collector, asyncio.timeout(20):
        for more in ("timeout: 6s", f"http: {{endpoint: '{url(backend)}'}}", "namespace: other"):
            for _ in range(2):
                await collector.component("receiver", "feed").feed(jobs(at := at + 10**9, 5))
            await collector.reload(load([f"yaml:{yaml.replace('MORE', more)}"]))
        await collector.component("receiver", "feed").feed(jobs(at + 10**9, 5))
    assert totals(backend) == [bits(5.0 * number) for number in range(1, 7)]
    assert totals(backend, "other_jobs_total") == [bits(5.0)]


async def test_the_exporters_before_and_after_a_reload_take_turns(backend):
    """What both know of series has one user at a time."""
    kept: dict[str, object] = {}
    sums = "delta_to_cumulative: {}, target_info: {enabled: false}"
    backend.gate = asyncio.Event()
    before, after = (exporter(url(backend), f"{sums}, {more}", kept=kept) for more in ("timeout: 5s", "timeout: 6s"))
    async with before as old, after as new, asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for number, out in enumerate((old, new, old)):
            tasks.create_task(out.consume(jobs(AT + number * 10**9, 1)))
        await arrived(backend, 1)
        await settle(200)
        assert len(backend.requests) == 1
        backend.gate.set()
    assert totals(backend) == [bits(1.0), bits(2.0), bits(3.0)]


async def test_a_receiver_that_takes_nothing_is_not_asked_for_each_point(monkeypatch):
    """After many refusals in a row a request is lost whole; one that is taken has parts tried again."""
    monkeypatch.setattr("sluiceway.exporters.prometheus_remote_write.MOST_IN_VAIN", 20)
    async with Choosy(choose=poisonous).running() as backend, exporter(url(backend), NO_INFO) as out:
        with pytest.raises(PermanentError) as caught:
            await out.consume(gauges(AT, 1000, name="poison"))
        assert (caught.value.code, caught.value.cause) == ("FAILED_PRECONDITION", "HTTP 400")
        assert len(backend.requests) < 50
        with pytest.raises(PermanentError):
            await out.consume(gauges(AT, 5, name="poison"))
        await out.consume(gauges(AT))
        before = len(backend.requests)
        told = await out.consume(join([gauges(AT, name="poison"), gauges(AT, 9)]))
        assert told.rejected == 1
        assert len(backend.requests) > before + 2


async def test_too_many_delta_series_are_counted(backend):
    """Beyond `max_streams` points are rejected, and told why; a series that got nothing for long makes room."""
    batch = metrics(
        *(
            lambda into, n=n: into.sum(f"s{n}", temporality=Temporality.DELTA).add(1, time=AT, start=AT - 1)
            for n in range(3)
        )
    )
    async with exporter(url(backend), "delta_to_cumulative: {max_streams: 2}, target_info: {enabled: false}") as out:
        told = await out.consume(batch)
        assert (told.rejected, told.batch.items) == (1, 1)
        assert "max_streams" in told.message
        late = await out.consume(jobs(AT - 10**9, 1))
        assert late.rejected == 1


async def test_cancelling_leaves_the_rest_for_the_next_attempt(backend):
    """A batch of which a part arrived before its timeout goes on where it was."""
    batch = gauges(AT, 3)
    async with exporter(url(backend), f"{SMALL}, max_batch_request_parallelism: 1") as out, asyncio.timeout(10):
        await out.consume(gauges(AT))
        backend.requests.clear()
        backend.gate = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(out.consume(batch))
            await arrived(backend, 1)
            sending.cancel()
        backend.gate.set()
        assert await out.consume(batch) is None
    assert rooms(backend)[-3:] == ["r0", "r1", "r2"]


@pytest.mark.parametrize("items", [10, 20_000])
async def test_a_large_batch_is_encoded_off_the_loop(backend, items):
    """Small or so large that a thread makes its requests, all of it arrives once."""
    async with exporter(url(backend), "target_info: {enabled: false}, max_batch_size_bytes: 200000") as out:
        assert await out.consume(gauges(AT, items)) is None
    assert sorted(rooms(backend)) == sorted(f"r{number}" for number in range(items))
    assert (len(backend.requests) > 1) == (items > 10)


async def test_a_batch_cancelled_while_a_thread_encodes_it_is_added_once(backend):
    """The thread is waited for, and what it made is there for the next attempt."""

    def write(into):
        counter = into.sum("jobs", temporality=Temporality.DELTA)
        for number in range(5000):
            counter.add(3, {"room": f"r{number}", "pad": "x" * 50}, time=AT, start=AT - 1)

    batch = metrics(write)
    async with exporter(url(backend), "delta_to_cumulative: {}, target_info: {enabled: false}") as out:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(out.consume(batch))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            sending.cancel()
        assert sending.cancelled()
        assert backend.requests == []
        assert await out.consume(batch) is None
    assert set(totals(backend)) == {bits(3.0)}
    assert len(totals(backend)) == 5000


async def test_nobody_there_is_retryable_and_the_text_has_no_secrets():
    """Starting works while nobody listens."""
    async with exporter("http://me:pa55@127.0.0.1:1/write?key=s3cret") as out:
        with pytest.raises(RetryableError, match=r"remote write to http://127\.0\.0\.1:1/write failed") as caught:
            await out.consume(gauges(AT))
    assert "pa55" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("more", ["", V2])
async def test_a_receiver_is_asked_without_series_at_the_start(backend, more):
    """What it says of us is trouble, what it says of the empty request is not."""
    async with exporter(url(backend), more) as out:
        backend.script = [401, 404, 400]
        with pytest.raises(RetryableError, match="HTTP status 401"):
            await out.check_backend()
        with pytest.raises(RetryableError, match=r"web\.enable-remote-write-receiver"):
            await out.check_backend()
        await out.check_backend()
        backend.headers = counts() if more else {}
        await out.check_backend()
    assert {cramjam.snappy.decompress_raw(body).read() for _, _, body in backend.requests} == {b""}


async def test_a_receiver_that_wants_tls_is_told_of_at_the_start(backend):
    """It refuses the settings, not the data."""
    backend.status, backend.answer = 400, b"Client sent an HTTP request to an HTTPS server.\n"
    async with exporter(url(backend)) as out:
        with pytest.raises(RetryableError, match="the endpoint's scheme"):
            await out.check_backend()


class Bearer:
    """An extension that proves who we are."""

    def request_headers(self):
        """Its header."""
        return {"authorization": "Bearer t"}


async def test_an_extension_proves_who_we_are(backend):
    """Its headers go with every request."""
    more = "auth: {authenticator: bearertokenauth}"
    async with exporter(url(backend), more, extension=lambda _name: Bearer()) as out:
        await out.consume(gauges(AT))
    assert backend.requests[0][1]["authorization"] == "Bearer t"


async def test_the_write_ahead_log_is_read_and_warned_of(backend, caplog):
    """The Collector's files load; what does its work is named."""
    async with exporter(url(backend), "wal: {directory: ./wal}"):
        assert "sending_queue::storage" in caplog.text
