"""Graphs: who is made, who is shared, what leads where, and what a reload leaves alone."""

from __future__ import annotations

import pytest

from sluiceway.component import Kind
from sluiceway.errors import ConfigError
from sluiceway.otlp import Batch, Signal, resources
from sluiceway.otlp.plan import decode_value
from sluiceway.pipelines.edits import Edits
from sluiceway.pipelines.graph import build
from sluiceway.service import Collector
from sluiceway.testing import spans
from tests.pipelines.graphs import JOURNAL, configure, start, stop, surroundings

ONE = """
receivers: {feed: }
processors: {tag: {value: a}, tag/2: {value: b}, pass: }
exporters: {memory: }
extensions: {auth: }
service:
  extensions: [auth]
  pipelines:
    traces: {receivers: [feed], processors: [tag, tag/2, pass], exporters: [memory]}
"""


@pytest.fixture(autouse=True)
def journal() -> None:
    """Begin with an empty journal."""
    JOURNAL.clear()


async def test_components_start_from_the_end_and_stop_from_the_beginning() -> None:
    """Extensions and exporters start first and receivers last; stopping is the reverse."""
    graph = build(configure(ONE), surroundings())
    await start(graph)
    await stop(graph)
    began = ["+auth", "+memory", "+pass@traces", "+tag/2@traces", "+tag@traces", "+feed"]
    assert began + [entry.replace("+", "-") for entry in reversed(began)] == JOURNAL


async def test_building_starts_nothing() -> None:
    """A graph can be built and thrown away: that is what validating does."""
    build(configure(ONE), surroundings())
    assert JOURNAL == []


async def test_neighbouring_editors_run_as_one_walk() -> None:
    """Two editors in a row become one node, and both have done their work."""
    around = surroundings()
    graph = build(configure(ONE), around)
    await start(graph)
    assert isinstance(graph.inlets["traces"].target, Edits)
    await graph.node(Kind.RECEIVER, "feed").instance.next.consume(spans(3))
    (batch,) = graph.node(Kind.EXPORTER, "memory").instance.exporter.batches
    ((items, values),) = resources(batch, ["tag", "tag/2"])
    assert (items, [decode_value(value) for value in values if value]) == (3, ["a", "b"])
    assert [balance.missing for balance in around.ledger.balances()] == [0]
    await stop(graph)


async def test_a_receiver_is_shared_and_a_processor_is_not() -> None:
    """One receiver serves all, every pipeline has processors of its own, every signal has its own exporters."""
    graph = build(
        configure(
            """
receivers: {feed: }
processors: {pass: }
exporters: {memory: }
service:
  pipelines:
    traces: {receivers: [feed], processors: [pass], exporters: [memory]}
    traces/2: {receivers: [feed], processors: [pass], exporters: [memory]}
    logs: {receivers: [feed], processors: [pass], exporters: [memory]}
"""
        ),
        surroundings(),
    )
    counts = {kind: sum(node.key.kind is kind for node in graph.nodes) for kind in Kind}
    assert (counts[Kind.RECEIVER], counts[Kind.PROCESSOR], counts[Kind.EXPORTER]) == (1, 3, 2)
    assert graph.node(Kind.RECEIVER, "feed").instance.context.signals == {Signal.TRACES, Signal.LOGS}


async def test_a_connector_leads_into_the_next_pipeline() -> None:
    """What one pipeline hands to a connector is delivered there and accepted by the next."""
    around = surroundings()
    graph = build(
        configure(
            """
receivers: {feed: }
exporters: {memory: }
connectors: {link: }
service:
  pipelines:
    traces/in: {receivers: [feed], exporters: [link]}
    traces/out: {receivers: [link], exporters: [memory]}
"""
        ),
        around,
    )
    await start(graph)
    await graph.node(Kind.RECEIVER, "feed").instance.next.consume(spans(5))
    lines = {b.pipeline: (b.exporter, b.accepted, b.delivered, b.missing) for b in around.ledger.balances()}
    assert lines == {"traces/in": ("link", 5, 5, 0), "traces/out": ("memory", 5, 5, 0)}
    await stop(graph)


async def test_only_what_changed_is_made_anew() -> None:
    """A graph built over a running one takes over every component whose settings are the same."""
    around = surroundings()
    running = build(configure(ONE), around)
    graph = build(configure(ONE.replace("tag/2: {value: b}", "tag/2: {value: c}")), around, running)
    fresh = [node.key.id for node in graph.nodes if node not in running.nodes]
    assert fresh == ["tag/2"]


async def test_a_changed_extension_remakes_those_that_name_it() -> None:
    """A component that refers to an extension is made anew when the extension's settings change, others are not."""
    text = ONE.replace("receivers: {feed: }", "receivers: {feed: {auth: auth}}")
    around = surroundings()
    running = build(configure(text), around)
    graph = build(configure(text.replace("{auth: }\nservice", "{auth: {value: x}}\nservice")), around, running)
    assert [node.key.id for node in graph.nodes if node not in running.nodes] == ["auth", "feed"]


async def test_data_takes_the_new_way_after_connecting_and_not_before() -> None:
    """The running receiver feeds the old chain until `connect`, and then the new one."""
    around = surroundings()
    running = build(configure(ONE), around)
    await start(running)
    graph = build(configure(ONE.replace("processors: [tag, tag/2, pass]", "processors: [pass]")), around, running)
    feed = graph.node(Kind.RECEIVER, "feed").instance
    memory = graph.node(Kind.EXPORTER, "memory").instance.exporter
    for connect in (lambda: None, graph.connect):
        connect()
        await feed.next.consume(Batch(Signal.TRACES, spans(1).payload, 1))
    assert [len(resources(batch, ["tag"])[0][1][0] or b"") > 0 for batch in memory.batches] == [True, False]
    await stop(running)


async def test_processors_of_one_entry_share_a_dict() -> None:
    """Instances made from the same entry of the configuration have one dict in common, also after a reload."""
    line = "    traces/{}: {{receivers: [feed], processors: [pass], exporters: [memory]}}\n    traces:"
    text = ONE.replace("    traces:", line.format("b"))
    around = surroundings()
    running = build(configure(text), around)
    shared = [node.instance.context.shared for node in running.nodes if node.key.id == "pass"]
    assert shared[0] is shared[1]
    more = text.replace("    traces:", line.format("c"))
    graph = build(configure(more), around, running)
    assert all(node.instance.context.shared is shared[0] for node in graph.nodes if node.key.id == "pass")


def test_a_component_that_is_not_there_is_a_lookup_error() -> None:
    """Asking a graph for what it does not have says what was asked for."""
    with pytest.raises(LookupError, match="no exporter 'kafka'"):
        build(configure(ONE), surroundings()).node(Kind.EXPORTER, "kafka")


def test_pipelines_share_a_connector() -> None:
    """It has one instance for each pair of signals, whoever leads to it."""
    collector = Collector.from_yaml("""
receivers: {feed: {component: 'sluiceway.testing:Feeder'}}
exporters: {debug: }
connectors: {forward: }
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [feed], exporters: [forward]}
    traces/2: {receivers: [feed], exporters: [forward]}
    traces/3: {receivers: [forward], exporters: [debug]}
""")
    assert [node.key.id for node in collector._graph.nodes] == ["debug", "forward", "feed"]


def test_what_components_find_when_they_are_made_is_told_at_once() -> None:
    """Of all of them, and not only of the first."""
    with pytest.raises(ConfigError) as caught:
        Collector.from_yaml("""
receivers: {feed: {component: 'sluiceway.testing:Feeder'}}
exporters:
  otlp_http/a: {endpoint: 'http://h', sending_queue: {storage: nope}}
  otlp_http/b: {endpoint: 'http://h', sending_queue: {storage: neither}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [feed], exporters: [otlp_http/a, otlp_http/b]}}
""")
    assert {problem.path for problem in caught.value.problems} == {
        "exporters::otlp_http/a::sending_queue::storage",
        "exporters::otlp_http/b::sending_queue::storage",
    }
