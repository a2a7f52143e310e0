"""A plain class in a file is a full component; the page that says so is run."""

import asyncio
import logging
import re
from pathlib import Path

import pytest

from sluiceway.component import Context, Kind, PartialSuccess, Reason, Status
from sluiceway.config.exporter import RetryOnFailure, SendingQueue
from sluiceway.config.load import load
from sluiceway.config.types import Opaque
from sluiceway.errors import ConfigError, PermanentError, RefusedError, RetryableError
from sluiceway.otlp import Batch, Signal
from sluiceway.plain import adapt, from_file
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, MemorySink, logs, settle

PAGE = Path(__file__).parents[1] / "docs" / "writing-a-component.md"


def batch(items: int = 4) -> Batch:
    """A batch that says it holds so many items."""
    return Batch(Signal.LOGS, b"payload", items)


class Drops(list):
    def __call__(self, items: int, reason: Reason, *, intended: bool = False) -> None:
        if items:
            self.append((items, reason, intended))


def make(plain: type, kind: Kind, *next, settings=None, **context):
    """A component made of a plain class."""
    component = adapt(plain, kind, "mine")
    return component.create(component.config.model_validate(settings or {}), Context("mine", kind, **context), *next)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page's files, written into a folder."""
    for name, text in re.findall(r"```\w+ file=(\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_page_loads(page: Path) -> None:
    """The page's configuration loads, with the settings that it gives."""
    config = load([str(page / "collector.yaml")])
    append = config.exporters["append"].settings
    assert append.model_dump(by_alias=True, include={"setting_path", "setting_largest", "timeout"}) == {
        "path": "heartbeat.log", "largest": 65536, "timeout": 5.0,
    }  # fmt: skip
    assert (append.sending_queue, append.retry_on_failure) == (SendingQueue(queue_size=100), RetryOnFailure())
    assert append.circuit_breaker is None
    assert config.receivers["heartbeat"].settings.model_dump(by_alias=True) == {"text": "still here", "interval": 10.0}


def test_page_reload_finds_no_change(page: Path) -> None:
    """Loading the same files again gives equal components, so that a reload restarts nothing."""
    first, second = (load([str(page / "collector.yaml")]) for _ in range(2))
    assert first == second


async def test_page_processor_drops(page: Path) -> None:
    """The page's processor forwards large batches, and what it drops is accounted for."""
    component = from_file("./drop_small.py", Kind.PROCESSOR, "drop_small", page)
    sink, drops = MemorySink(), Drops()
    settings = component.config.model_validate({"at_least": 3})
    processor = component.create(settings, Context("drop_small", Kind.PROCESSOR, drop=drops), sink)
    await processor.consume(batch(4))
    await processor.consume(batch(2))
    assert sink.items == 4
    assert drops == [(2, Reason.FILTERED, True)]


async def test_page_exporter_appends(page: Path, tmp_path: Path) -> None:
    """The page's exporter writes a line for each batch, and refuses for good what is too large."""
    component = from_file("append.py:Append", Kind.EXPORTER, "append", page)
    settings = component.config.model_validate({"path": str(tmp_path / "out"), "largest": "10B"})
    async with component.create(settings, Context("append", Kind.EXPORTER)) as exporter:
        await exporter.consume(batch())
        with pytest.raises(PermanentError):
            await exporter.consume(Batch(Signal.LOGS, b"x" * 11, 1))
    assert (tmp_path / "out").read_text() == b"payload".hex() + "\n"


async def test_page_exporter_has_a_queue_and_retries(page: Path) -> None:
    """What the page puts around its exporter works: what fails waits in the queue, and leaving tries it again."""
    text = (page / "collector.yaml").read_text().replace("{component: ./heartbeat.py", "{component: ./feed.py")
    text = text.replace("text: still here, interval: 10s", "").replace("heartbeat.log", str(page / "not" / "yet"))
    (page / "feed.py").write_text("from sluiceway.testing import Feeder\nclass Feed(Feeder): ...\n")
    (page / "collector.yaml").write_text(text)
    clock = ManualClock()
    sets = ["service.telemetry.metrics.level=none"]
    async with Collector(load([str(page / "collector.yaml")], sets), clock=clock) as collector:
        await collector.component("receiver", "heartbeat").feed(logs(3))
        (balance,) = collector.ledger.balances()
        assert (balance.held, balance.delivered) == (3, 0)
        async with asyncio.timeout(10):
            while collector.status()["exporter:append"].status is not Status.RECOVERABLE_ERROR:  # noqa: ASYNC110
                await asyncio.sleep(0)
        (page / "not").mkdir()
    (balance,) = collector.ledger.balances()
    assert (balance.held, balance.delivered, balance.missing) == (0, 3, 0)
    assert len((page / "not" / "yet").read_text().splitlines()) == 1


def test_a_secret_may_have_a_default() -> None:
    """Written as a text like any other; it is a secret all the same."""
    names: dict[str, type] = {"Opaque": Opaque}
    exec("class Mine:\n def __init__(self, token: Opaque = 'a'): ...\n def consume(self, batch): ...", names)
    settings = adapt(names["Mine"], Kind.EXPORTER, "mine").config.model_validate({})
    assert str(settings.model_dump()).count("[REDACTED]") == 1


@pytest.mark.parametrize("name", ["timeout", "retry_on_failure", "sending_queue", "circuit_breaker"])
def test_an_exporter_cannot_have_a_setting_of_every_exporter(name: str) -> None:
    """A parameter of such a name would never be filled, so that it is an error; elsewhere the names are free."""
    names: dict[str, type] = {}
    exec(f"class Mine:\n def __init__(self, {name}=1): ...\n def consume(self, batch): ...", names)
    with pytest.raises(ConfigError, match=rf"Mine.__init__ cannot have a setting {name}: every exporter has one"):
        adapt(names["Mine"], Kind.EXPORTER, "mine")
    assert adapt(names["Mine"], Kind.PROCESSOR, "mine").config.model_validate({name: 5})


async def test_page_receiver_beats(page: Path) -> None:
    """The page's receiver emits at its interval, by the context's clock."""
    component = from_file("heartbeat.py", Kind.RECEIVER, "heartbeat", page)
    clock, sink = ManualClock(), MemorySink()
    settings = component.config.model_validate({"interval": "10s"})
    async with component.create(settings, Context("heartbeat", Kind.RECEIVER, clock=clock), sink):
        await clock.advance(20)
    assert sink.items == 3
    assert "alive" in str(sink.batches[0].proto())


async def test_processor_forwards_lists_in_order() -> None:
    """Each batch of a returned list is forwarded, by an asynchronous method as well."""

    class Halve:
        async def consume(self, batch: Batch) -> list[Batch]:
            return [batch.with_payload(b"a", 1), batch.with_payload(b"b", 3)]

    sink = MemorySink()
    await make(Halve, Kind.PROCESSOR, sink).consume(batch(4))
    assert [part.payload for part in sink.batches] == [b"a", b"b"]


async def test_first_refusal_goes_back_to_the_sender() -> None:
    """When nothing was taken yet the whole batch is still the sender's, and nothing is counted."""

    class Same:
        def consume(self, batch: Batch) -> Batch:
            return batch

    sink, drops = MemorySink(), Drops()
    sink.error = RefusedError("full")
    with pytest.raises(RefusedError):
        await make(Same, Kind.PROCESSOR, sink, drop=drops).consume(batch())
    assert drops == []


async def test_later_refusal_is_a_drop() -> None:
    """When a part was taken, a later part that is refused is lost and counted, and the rest still goes on."""

    class Thirds:
        def consume(self, batch: Batch) -> list[Batch]:
            return [batch.with_payload(text, 1) for text in (b"a", b"b", b"c")]

    class RefusesB(MemorySink):
        async def consume(self, batch: Batch) -> PartialSuccess | None:
            if batch.payload == b"b":
                raise RefusedError("full")
            return await super().consume(batch)

    sink, drops = RefusesB(), Drops()
    await make(Thirds, Kind.PROCESSOR, sink, drop=drops).consume(batch(3))
    assert sink.items == 2
    assert drops == [(1, Reason.REJECTED, False)]


@pytest.mark.parametrize("outcome", ["text", [batch(5)], [1]])
async def test_wrong_outcome_is_permanent(outcome: object, caplog: pytest.LogCaptureFixture) -> None:
    """A processor that returns something else, or more than it was given, is refused for good."""

    class Wrong:
        def consume(self, batch: Batch) -> object:
            return outcome

    with pytest.raises(PermanentError, match='processor "mine" failed'):
        await make(Wrong, Kind.PROCESSOR, MemorySink()).consume(batch(4))
    assert "Wrong failed" in caplog.text


async def test_processor_errors_pass() -> None:
    """An error of ours that the class raises goes to the sender as it is."""

    class Refuses:
        def consume(self, batch: Batch) -> None:
            raise RefusedError("later")

    with pytest.raises(RefusedError, match="later"):
        await make(Refuses, Kind.PROCESSOR, MemorySink()).consume(batch())


async def test_exporter_gives_partial_success_and_has_a_life() -> None:
    """An exporter is entered and left, and what it says of rejected items is passed on."""
    life = []

    class Exporter:
        async def __aenter__(self):
            life.append("in")
            return self

        async def __aexit__(self, *args: object) -> None:
            life.append("out")

        async def consume(self, batch: Batch) -> PartialSuccess:
            return PartialSuccess(1)

    async with make(Exporter, Kind.EXPORTER) as exporter:
        assert await exporter.consume(batch()) == PartialSuccess(1)
    assert life == ["in", "out"]


async def test_mistake_in_an_exporter_is_permanent(caplog: pytest.LogCaptureFixture) -> None:
    """What an exporter raises by mistake refuses the batch for good; the log says why and the sender is not told."""

    class Broken:
        def consume(self, batch: Batch) -> None:
            raise ValueError("secret")

    with pytest.raises(PermanentError, match=r'^exporter "mine" failed$'):
        await make(Broken, Kind.EXPORTER).consume(batch())
    assert "Broken failed" in caplog.text
    assert "secret" in caplog.text


async def test_network_error_of_an_exporter_passes() -> None:
    """An `OSError` goes on as it is, to be retried."""

    class Away:
        async def consume(self, batch: Batch) -> None:
            raise ConnectionRefusedError("no")

    with pytest.raises(ConnectionRefusedError):
        await make(Away, Kind.EXPORTER).consume(batch())


async def test_network_error_of_a_processor_is_retryable(caplog: pytest.LogCaptureFixture) -> None:
    """An `OSError` in a processor lets the sender come again, as the page says."""

    class Away:
        def consume(self, batch: Batch) -> None:
            raise ConnectionRefusedError("no")

    with pytest.raises(RetryableError, match=r'^processor "mine" failed$'):
        await make(Away, Kind.PROCESSOR, MemorySink()).consume(batch())
    assert "Away failed" in caplog.text


async def test_generator_waits_out_refusals() -> None:
    """A refused batch is offered again after the delay that was asked for."""

    class Once:
        async def batches(self):
            yield batch(7)

    clock, sink = ManualClock(), MemorySink()
    sink.error = RefusedError("full", retry_after=5)
    async with make(Once, Kind.RECEIVER, sink, clock=clock):
        await clock.advance(4)
        sink.error = None
        await clock.advance(1)
    assert (sink.items, sink.calls) == (7, 2)


async def test_generator_goes_on_after_a_permanent_error() -> None:
    """A batch that is refused for good is dropped and counted, and the next one follows."""

    class Twice:
        async def batches(self):
            yield batch(1)
            sink.error = None
            yield batch(2)

    sink, drops = MemorySink(), Drops()
    sink.error = PermanentError("no")
    async with make(Twice, Kind.RECEIVER, sink, drop=drops):
        await settle()
    assert sink.items == 2
    assert drops == [(1, Reason.REJECTED, False)]


async def test_leaving_waits_for_what_is_under_way() -> None:
    """A batch that is being consumed while the receiver is left arrives, and no other is let in."""

    class Endless:
        async def receive(self, next) -> None:
            while True:
                await next.consume(batch(1))

    sink = MemorySink()
    sink.gate = asyncio.Event()
    receiver = make(Endless, Kind.RECEIVER, sink)
    await receiver.__aenter__()
    await settle()
    leaving = asyncio.ensure_future(receiver.__aexit__(None, None, None))
    await settle()
    assert not leaving.done()
    sink.gate.set()
    await leaving
    assert (sink.items, sink.calls) == (1, 1)


async def test_failing_receiver_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver whose method raises is over: its status says so and nothing else ends."""

    class Fails:
        async def receive(self, next) -> None:
            raise ValueError("broken")

    reports = []
    with caplog.at_level(logging.ERROR):
        async with make(Fails, Kind.RECEIVER, MemorySink(), report=lambda *report: reports.append(report)):
            await settle()
    assert [status for status, _ in reports] == [Status.PERMANENT_ERROR]
    assert "broken" in caplog.text


def test_settings_may_have_any_name() -> None:
    """A setting may be called what a pydantic model has itself."""

    class Exporter:
        def __init__(self, *, schema: str, copy: bool = True, json=None) -> None:
            self.seen = (schema, copy, json)

        def consume(self, batch: Batch) -> None: ...

    assert make(Exporter, Kind.EXPORTER, settings={"schema": "x"}).plain.seen == ("x", True, None)


FILES = {
    "none.py": "x = 1\n",
    "two.py": "class A:\n    def consume(self, batch): ...\nclass B(A): ...\n",
    "syntax.py": "x = 1\nclass A(:\n",
    "raises.py": "1 / 0\n",
    "bare.py": "class A: ...\n",
    "stars.py": "class A:\n    def __init__(self, **settings): ...\n    def consume(self, batch): ...\n",
    "hints.py": "from __future__ import annotations\nclass A:\n    def __init__(self, x: Nothing): ...\n"
    "    def consume(self, batch): ...\n",
    "type.py": "class A:\n    def __init__(self, x: 'not a type' = 1): ...\n    def consume(self, batch): ...\n",
    "full.py": "from sluiceway.connectors.forward import COMPONENT\n",
}


@pytest.mark.parametrize(
    ("reference", "kind", "text"),
    [
        ("none.py", "processors", "none.py must name its class, as in ./file.py:ClassName (classes: none)"),
        ("two.py", "processors", "must name its class, as in ./file.py:ClassName (classes: A, B)"),
        ("two.py:C", "processors", 'two.py has no class "C" (classes: A, B)'),
        ("missing.py", "processors", "unable to read the file"),
        ("bare", "processors", '"bare" is neither the path of a Python file'),
        ("syntax.py", "processors", "syntax.py, line 2: invalid syntax"),
        ("raises.py", "processors", "raises.py cannot be imported: ZeroDivisionError: division by zero"),
        ("bare.py", "exporters", "A needs a method consume(self, batch) to be used in exporters"),
        ("bare.py", "receivers", "A needs a method async receive(self, next)"),
        ("bare.py", "extensions", "a plain class can be a receiver, a processor or an exporter, and no extension"),
        ("stars.py", "exporters", "A.__init__ must name each setting, and has **settings"),
        ("hints.py", "exporters", "the annotations of A.__init__ cannot be used: name 'Nothing' is not defined"),
        ("type.py", "exporters", "the annotations of A.__init__ cannot be used"),
        ("full.py", "exporters", "full.py holds a connector and no exporter"),
        ("[1]", "exporters", "expected the path of a Python file"),
    ],
)
def test_mistakes_stand_at_their_line(tmp_path: Path, reference: str, kind: str, text: str) -> None:
    """What is wrong with a file is reported where the configuration names it."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    file = tmp_path / "collector.yaml"
    file.write_text(f"{kind}:\n  mine: {{component: {reference}}}\n")
    with pytest.raises(ConfigError) as caught:
        load([str(file)])
    problem = next(problem for problem in caught.value.problems if "mine" in problem.path)
    assert text in problem.message
    assert (problem.file, problem.line, problem.column) == (str(file), 2, 21)
    assert problem.path == f"{kind}::mine::component"


def test_full_component_in_a_file(tmp_path: Path) -> None:
    """A file that ends with a COMPONENT record is taken as that component."""
    (tmp_path / "full.py").write_text(FILES["full.py"])
    assert from_file("./full.py", Kind.CONNECTOR, "mine", tmp_path).type == "forward"


async def test_a_setting_called_routes_is_a_setting_like_any_other(tmp_path: Path) -> None:
    """Only a property of a component's model names connectors."""
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def __init__(self, routes: list[str]): ...\n    def consume(self, batch): return batch\n"
    )
    text = f"""
        receivers: {{feed: {{component: sluiceway.testing:Feeder}}}}
        processors: {{mine: {{component: {tmp_path}/mine.py, routes: [nowhere]}}}}
        exporters: {{memory: {{component: sluiceway.testing:MemorySink}}}}
        service: {{pipelines: {{logs: {{receivers: [feed], processors: [mine], exporters: [memory]}}}}}}
    """
    Collector.from_yaml(text)
