"""Our own traces: what is recorded, where it goes, and that it never feeds itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from aiohttp import ClientSession
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sluiceway.errors import PermanentError, RefusedError
from sluiceway.otlp import Signal
from sluiceway.service import Collector
from sluiceway.telemetry.tracing import OWN_HEADER, own_mark
from sluiceway.testing import items, spans
from tests.exporters.backends import GrpcBackend
from tests.ports import free_port

SINK = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
exporters: {memory: {component: sluiceway.testing:MemorySink}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [memory]}}
"""
TRACED = """
receivers:
  feed: {{component: sluiceway.testing:Feeder}}
  otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:{own}'}}}}}}
processors:
  resource: {{attributes: [{{key: a, value: 1, action: upsert}}]}}
  attributes: {{actions: [{{key: a, value: 1, action: upsert}}]}}
  batch: {{timeout: 10ms}}
  plain: {{component: tests.telemetry.test_tracing:Pass}}
exporters:
  memory: {{component: sluiceway.testing:MemorySink}}
  otlp_grpc: {{endpoint: '127.0.0.1:{backend}', tls: {{insecure: true}}, compression: none{queue}}}
service:
  telemetry:
    metrics: {{level: none}}
    traces: {{{traces}}}
  pipelines:
    traces: {{receivers: [feed, otlp], processors: [{processors}], exporters: [{exporters}]}}
    metrics: {{receivers: [feed], exporters: [memory]}}
    logs: {{receivers: [feed], exporters: [memory]}}
"""


class Pass:
    """A plain class that changes nothing."""

    def consume(self, batch: Any) -> Any:
        """Give the batch back."""
        return batch


@asynccontextmanager
async def sink() -> AsyncIterator[tuple[Collector, Callable[[], list[Span]]]]:
    """Another collector that receives our spans, and what it has got of them."""
    async with Collector.from_yaml(SINK) as collector:
        memory = collector.component("exporter", "memory")

        def arrived() -> list[Span]:
            messages = [batch.proto() for batch in memory.batches]
            return [s for m in messages for r in m.resource_spans for sc in r.scope_spans for s in sc.spans]

        yield collector, arrived


def exporting_to(collector: Collector, protocol: str = "grpc", kind: str = "batch", more: str = "") -> str:
    """The settings that send own traces to a collector."""
    receiver = collector.component("receiver", "otlp")
    port = receiver.grpc_address[1] if protocol == "grpc" else receiver.http_address[1]
    otlp = f"{{otlp: {{protocol: {protocol}, endpoint: 'http://127.0.0.1:{port}'}}}}"
    return f"processors: [{{{kind}: {{exporter: {otlp}}}}}]{more}"


def traced(
    traces: str,
    *,
    processors: str = "",
    exporters: str = "memory",
    own: int = 0,
    backend: int = 1,
    queue: str = ", sending_queue: {enabled: false}",
) -> Collector:
    """A collector that records traces."""
    values = {"traces": traces, "processors": processors, "exporters": exporters, "own": own, "queue": queue}
    return Collector.from_yaml(TRACED.format(backend=backend, **values))


def attributes(span: Span) -> dict[str, Any]:
    """The attributes of a span as plain values."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("kind", ["batch", "simple"])
async def test_what_is_recorded_of_a_batch(protocol: str, kind: str) -> None:
    """Receiver, processors and exporter each have a span in one trace, with what they did."""
    async with sink() as (backend, arrived):
        async with traced(exporting_to(backend, protocol, kind), processors="resource, attributes, plain") as collector:
            await collector.component("receiver", "feed").feed(spans(3))
        found = {span.name: span for span in arrived()}
    assert set(found) == {
        "receiver/feed/TraceDataReceived", "processor/resource+attributes/traces", "processor/plain/traces",
        "exporter/memory/traces",
    }  # fmt: skip
    root = found.pop("receiver/feed/TraceDataReceived")
    assert root.parent_span_id == b""
    assert {span.parent_span_id for span in found.values()} == {root.span_id}
    assert {span.trace_id for span in found.values()} == {root.trace_id}
    assert attributes(root) == {"receiver": "feed", "transport": "", "accepted_spans": 3, "refused_spans": 0}
    exporter = attributes(found["exporter/memory/traces"])
    assert exporter == {"exporter": "memory", "data_type": "traces", "items.sent": 3, "items.failed": 0}
    plain = attributes(found["processor/plain/traces"])
    assert plain == {"processor": "plain", "otel.signal": "traces", "incoming_items": 3, "outgoing_items": 3}


@pytest.mark.parametrize(
    ("signal", "name"),
    [(Signal.METRICS, "receiver/feed/MetricsReceived"), (Signal.LOGS, "receiver/feed/LogsReceived")],
)
async def test_every_signal_has_its_name(signal: Signal, name: str) -> None:
    """The names are the Collector's."""
    async with sink() as (backend, arrived):
        async with traced(exporting_to(backend)) as collector:
            await collector.component("receiver", "feed").feed(items(signal, 2))
        found = {span.name: attributes(span) for span in arrived()}
    assert found[name][f"accepted_{signal.items}"] == 2
    assert found[f"exporter/memory/{signal.value}"]["items.sent"] == 2


async def test_errors_have_fixed_texts() -> None:
    """What a backend or a sender said stands in no span, only the kind of the error."""
    async with sink() as (backend, arrived):
        async with traced(exporting_to(backend), processors="plain") as collector:
            collector.component("exporter", "memory").error = PermanentError("token hunter2", code="UNAUTHENTICATED")
            with pytest.raises(PermanentError):
                await collector.component("receiver", "feed").feed(spans(3))
        found = {span.name: span for span in arrived()}
    assert b"hunter2" not in b"".join(span.SerializeToString() for span in found.values())
    receiver, exporter = found["receiver/feed/TraceDataReceived"], found["exporter/memory/traces"]
    assert (receiver.status.code, receiver.status.message) == (Status.STATUS_CODE_ERROR, "PermanentError")
    assert exporter.status.message == "exporting failed: UNAUTHENTICATED"
    assert attributes(receiver)["refused_spans"] == attributes(exporter)["items.failed"] == 3


async def test_requests_that_are_joined_are_linked() -> None:
    """A span of an export that holds several requests has no one parent."""
    async with sink() as (backend, arrived):
        async with traced(exporting_to(backend), processors="batch") as collector:
            feed = collector.component("receiver", "feed")
            await asyncio.gather(*(feed.feed(spans(1)) for _ in range(3)))
        found = arrived()
    (export,) = [span for span in found if span.name.startswith("exporter/")]
    roots = {span.span_id for span in found if span.name.startswith("receiver/")}
    assert export.parent_span_id == b""
    assert {link.span_id for link in export.links} == roots
    assert len(roots) == 3


async def test_a_queue_does_not_cut_a_trace() -> None:
    """An export that happens later, in another task, is still the child of what was received."""
    async with GrpcBackend().running() as other, sink() as (backend, arrived):
        options = {"exporters": "otlp_grpc", "backend": other.port, "queue": ""}
        async with traced(exporting_to(backend), **options) as collector:
            await collector.component("receiver", "feed").feed(spans(1))
        found = {span.name: span for span in arrived()}
    assert found["exporter/otlp_grpc/traces"].parent_span_id == found["receiver/feed/TraceDataReceived"].span_id


async def test_a_repetition_is_an_event() -> None:
    """One span stands around all attempts."""
    backend_away = GrpcBackend(code=grpc.StatusCode.UNAVAILABLE)
    async with backend_away.running() as other, sink() as (backend, arrived):
        queue = ", sending_queue: {enabled: false}, retry_on_failure: {initial_interval: 1ms}"
        options = {"exporters": "otlp_grpc", "backend": other.port, "queue": queue}
        async with traced(exporting_to(backend), **options) as collector:
            feeding = asyncio.create_task(collector.component("receiver", "feed").feed(spans(2)))
            await asyncio.wait_for(other.arrived.wait(), 20)
            other.code = grpc.StatusCode.OK
            await asyncio.wait_for(feeding, 20)
        (export,) = [span for span in arrived() if span.name.startswith("exporter/")]
    assert {event.name for event in export.events} == {"Exporting failed. Will retry the request after interval."}
    (error, _) = export.events[0].attributes
    assert error.value.string_value == "exporting failed: UNAVAILABLE"
    assert attributes(export)["items.sent"] == 2


@pytest.mark.parametrize(
    ("sampler", "recorded"),
    [
        ("{always_off: }", 0),
        ("{always_on: }", 2),
        ("{trace_id_ratio_based: {ratio: 0}}", 0),
        ("{parent_based: {root: {always_off: }}}", 0),
        ("{parent_based: {root: {trace_id_ratio_based: {ratio: 1}}}}", 2),
        ("{parent_based: {remote_parent_sampled: {always_off: }}}", 2),
    ],
)
async def test_sampling(sampler: str, recorded: int) -> None:
    """The settings decide whether a trace is recorded, and all of its spans follow."""
    async with sink() as (backend, arrived):
        async with traced(exporting_to(backend, more=f", sampler: {sampler}")) as collector:
            await collector.component("receiver", "feed").feed(spans(1))
        assert len(arrived()) == recorded


async def test_a_sender_is_the_parent_and_a_backend_is_told() -> None:
    """With `propagators`, a request's `traceparent` is taken up and one of ours goes out."""
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    async with GrpcBackend().running() as other, sink() as (backend, arrived):
        options = {"exporters": "otlp_grpc", "backend": other.port}
        async with traced(exporting_to(backend, more=", propagators: [tracecontext]"), **options) as collector:
            url = f"http://127.0.0.1:{collector.component('receiver', 'otlp').http_address[1]}/v1/traces"
            headers = {"content-type": "application/x-protobuf", "traceparent": f"00-{trace}-{parent}-01"}
            async with ClientSession() as session, session.post(url, data=spans(1).payload, headers=headers) as answer:
                assert answer.status == 200
        found = {span.name: span for span in arrived()}
    root, export = found["receiver/otlp/TraceDataReceived"], found["exporter/otlp_grpc/traces"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (trace, parent)
    assert other.requests[0][2]["traceparent"] == f"00-{trace}-{export.span_id.hex()}-01"


async def test_without_propagators_nothing_is_read_or_passed_on() -> None:
    """A sender's header has no effect then, and a backend gets none."""
    async with GrpcBackend().running() as other, sink() as (backend, arrived):
        async with traced(exporting_to(backend), exporters="otlp_grpc", backend=other.port) as collector:
            port = collector.component("receiver", "otlp").grpc_address[1]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                export = channel.unary_unary(f"/{Signal.TRACES.service}/Export")
                sent = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
                await export(spans(1).payload, metadata=(sent,))
        roots = [span for span in arrived() if span.name.startswith("receiver/")]
    assert [root.parent_span_id for root in roots] == [b""]
    assert "traceparent" not in other.requests[0][2]


async def test_spans_that_are_sent_to_ourselves_lead_to_no_new_ones() -> None:
    """The collector is its own backend: its spans arrive once, through `batch` as well, and there it ends."""
    port = free_port()
    otlp = f"{{otlp: {{protocol: http/protobuf, endpoint: 'http://127.0.0.1:{port}'}}}}"
    settings = f"processors: [{{batch: {{schedule_delay: 20, exporter: {otlp}}}}}]"
    async with traced(settings, own=port, processors="batch") as collector:
        memory = collector.component("exporter", "memory")
        await collector.component("receiver", "feed").feed(spans(1))
        async with asyncio.timeout(20):
            while memory.items < 4:  # noqa: ASYNC110 - the one that was fed, and three about it
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert memory.items == 4


@pytest.mark.parametrize("mark", ["", "someone-else"])
async def test_only_our_own_mark_is_not_traced(mark: str) -> None:
    """Another process's own telemetry is traced as any."""
    async with sink() as (backend, arrived):
        async with traced(exporting_to(backend)) as collector:
            port = collector.component("receiver", "otlp").grpc_address[1]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                export = channel.unary_unary(f"/{Signal.TRACES.service}/Export")
                await export(spans(1).payload, metadata=((OWN_HEADER, mark or own_mark()),))
        assert len(arrived()) == (2 if mark else 0)


@pytest.mark.parametrize("traces", ["", "level: none, processors: [{simple: {exporter: {console: }}}]"])
async def test_without_a_processor_there_is_nothing_around_components(traces: str) -> None:
    """Not even a question per batch."""
    collector = traced(traces, processors="plain")
    async with collector:
        assert collector.telemetry.scope().tracing is None
        await collector.component("receiver", "feed").feed(spans(1))
        assert collector.component("exporter", "memory").batches[0].origin.causes == ()


async def test_a_reload_can_switch_traces_on() -> None:
    """The components are made anew, because what is recorded of them is decided when they are made."""
    async with sink() as (backend, arrived):
        async with traced("") as collector:
            await collector.component("receiver", "feed").feed(spans(1))
            await collector.reload(traced(exporting_to(backend)).config)
            await collector.component("receiver", "feed").feed(spans(1))
        assert len(arrived()) == 2


async def test_a_refused_batch_may_come_again() -> None:
    """Recording changes nothing in what a receiver is told."""
    async with sink() as (backend, _), traced(exporting_to(backend)) as collector:
        collector.component("exporter", "memory").error = RefusedError("full", 7.0)
        with pytest.raises(RefusedError) as refusal:
            await collector.component("receiver", "feed").feed(spans(1))
    assert refusal.value.retry_after == 7.0
