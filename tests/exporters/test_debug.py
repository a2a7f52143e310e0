"""The rules of `debug`, from bytes to the text that people read."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from google.protobuf import text_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData
from pydantic import ValidationError

from sluiceway.errors import ConfigError, PermanentError
from sluiceway.exporters.debug import COMPONENT
from sluiceway.otlp import Batch, Signal
from sluiceway.telemetry.logs import ConsoleLines, JsonLines
from sluiceway.testing import ManualClock
from tests.exporters.backends import batch, make

GOLDEN = Path(__file__).parent / "golden" / "debug"
TYPES = {Signal.TRACES: TracesData, Signal.METRICS: MetricsData, Signal.LOGS: LogsData}
ITEMS = {Signal.TRACES: 2, Signal.METRICS: 9, Signal.LOGS: 4}


def sample(signal: Signal) -> Batch:
    """The batch that stands, as protobuf text, beside the golden files."""
    message = text_format.Parse((GOLDEN / f"{signal.value}.txtpb").read_text(), TYPES[signal]())
    return Batch(signal, message.SerializeToString(), ITEMS[signal])


def to_file(path: Path, more: str = "", **context):
    """The exporter that writes to a file."""
    return make(COMPONENT, f"{{use_internal_logger: false, output_paths: ['{path}'], {more}}}", **context)


async def shown(path: Path, sent: Batch, verbosity: str) -> str:
    """What one batch looks like in a file."""
    async with to_file(path, f"verbosity: {verbosity}") as out:
        await out.consume(sent)
    with path.open(encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("verbosity", ["basic", "normal", "detailed"])
@pytest.mark.parametrize("signal", Signal, ids=lambda signal: signal.value)
async def test_each_verbosity_looks_as_in_its_golden_file(tmp_path, signal, verbosity):
    """The text is the golden file's; REWRITE_GOLDEN=1 writes the files anew, to be read before they are committed."""
    golden = GOLDEN / f"{signal.value}.{verbosity}.txt"
    text = await shown(tmp_path / "out", sample(signal), verbosity)
    if os.environ.get("REWRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("verbosity", ["normal", "detailed"])
async def test_control_characters_are_escaped(tmp_path, verbosity):
    """No escape sequence, line break or reversal of direction in telemetry reaches the terminal."""
    evil = "a\x1b[2J\nSpan #7\r\x07\x9b\u2028\u202eb"
    message = LogsData()
    record = message.resource_logs.add(schema_url=evil).scope_logs.add(scope={"name": evil}).log_records.add()
    record.body.string_value = evil
    nested = record.attributes.add(key=evil).value.kvlist_value.values
    nested.add(key=evil, value={"string_value": evil})
    text = await shown(tmp_path / "out", Batch(Signal.LOGS, message.SerializeToString(), 1), verbosity)
    assert "\\u001b[2J\\nSpan #7" in text
    assert not set(evil) - set("a[2JSpan #7b\n") & set(text)
    assert not any(line.startswith("Span #7") for line in text.splitlines())


async def test_a_batch_of_very_many_lines_is_shown_in_part(tmp_path):
    """A small request can unfold to ten million lines, which would take gigabytes; half a million are shown."""
    message = TracesData()
    message.resource_spans.add().scope_spans.add().spans.extend([Span()] * 50_000)
    lines = (await shown(tmp_path / "out", Batch.from_proto(message), "detailed")).splitlines()
    assert (len(lines), lines[-1]) == (500_002, "(the rest is not shown: more than 500,000 lines)")


async def test_hostile_numbers_do_no_harm(tmp_path):
    """Exponents, times and enum values beyond every range are shown somehow."""
    message = MetricsData()
    metrics = message.resource_metrics.add().scope_metrics.add().metrics
    point = metrics.add(name="e").exponential_histogram.data_points.add(scale=-(2**31), time_unix_nano=2**64 - 1)
    point.positive.offset, point.negative.offset = 2**31 - 1, -(2**31)
    point.positive.bucket_counts.append(1)
    point.negative.bucket_counts.append(1)
    metrics.add(name="s").sum.aggregation_temporality = 77
    metrics.add(name="nothing")
    text = await shown(tmp_path / "out", Batch(Signal.METRICS, message.SerializeToString(), 1), "detailed")
    assert "Bucket (inf, inf], Count: 1" in text
    assert "Timestamp: 2554-07-21 23:34:33.709551615 +0000 UTC" in text
    assert "     -> DataType: Empty" in text


async def test_sampling_counts_by_second_and_signal(tmp_path):
    """The first two of each second are shown and then every third; other signals do not count."""
    clock = ManualClock()
    more = "sampling_initial: 2, sampling_thereafter: 3"
    async with to_file(tmp_path / "out", more, clock=clock) as out:
        for items in range(1, 9):
            await out.consume(batch(Signal.TRACES, items))
        await out.consume(batch(Signal.LOGS, 20))
        await clock.advance(1)
        await out.consume(batch(Signal.TRACES, 30))
    items = [line.rpartition(" ")[2].rstrip("}") for line in (tmp_path / "out").read_text().splitlines()]
    assert items == ["1", "2", "5", "8", "20", "30"]


async def test_thereafter_zero_shows_only_the_first(tmp_path):
    """Zero drops what comes after the first ones of a second, as in the Collector."""
    async with to_file(tmp_path / "out", "sampling_thereafter: 0") as out:
        for _ in range(5):
            await out.consume(batch())
    assert len((tmp_path / "out").read_text().splitlines()) == 2


async def test_the_internal_logger_gets_a_record_with_fields_and_lines(caplog):
    """By default batches go to the log: the title with its counts, and the lines beneath it."""
    with caplog.at_level(logging.INFO, "test"):
        async with make(COMPONENT, "verbosity: normal") as out:
            await out.consume(batch(Signal.TRACES, 2))
    (record,) = caplog.records
    console = ConsoleLines(caller=False).format(record)
    assert '\tTraces\t{"resource spans": 1, "spans": 2}\nResourceTraces #0\n' in console
    assert console.endswith("\nScopeTraces #0\nspan 0\nspan 1")
    assert '"block": "ResourceTraces #0\\nScopeTraces #0\\nspan 0\\nspan 1"' in JsonLines().format(record)


async def test_stdout_is_the_default_output(capsys):
    """Without `output_paths` the text goes to standard output, plain where that is no terminal."""
    async with make(COMPONENT, "use_internal_logger: false") as out:
        await out.consume(batch(Signal.LOGS))
    assert capsys.readouterr().out == '2023-11-14T22:13:20.000Z\tinfo\tLogs\t{"resource logs": 1, "log records": 3}\n'


@pytest.mark.parametrize(("variable", "is_coloured"), [("X", True), ("NO_COLOR", False)])
async def test_a_terminal_gets_colour(monkeypatch, variable, is_coloured):
    """On a terminal headings and keys stand out, unless NO_COLOR is set."""
    leader, follower = os.openpty()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, "1")
    with os.fdopen(leader, "rb", buffering=0) as screen, os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        async with make(COMPONENT, "{use_internal_logger: false, verbosity: detailed}") as out:
            await out.consume(sample(Signal.LOGS))
        text = screen.read(65_536).decode()
    assert ("\x1b[1mLogRecord #0\x1b[0m" in text) is is_coloured
    assert ("     -> \x1b[36mservice.name\x1b[0m: Str(shop)" in text) is is_coloured
    assert ("\x1b" in text) is is_coloured


async def test_an_output_without_unicode_gets_escapes(tmp_path, monkeypatch):
    """A terminal that cannot show a character gets its escape instead of an error."""
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        async with make(COMPONENT, "{use_internal_logger: false, output_paths: stderr, verbosity: normal}") as out:
            await out.consume(sample(Signal.LOGS))
    assert "gr\\xfc\\xdfe" in (tmp_path / "out").read_text()


async def test_an_output_that_cannot_be_opened_is_a_config_error(tmp_path):
    """A wrong path is said at the start, with its name."""
    with pytest.raises(ConfigError, match=r"output_paths: cannot open .*/no/dir: No such file or directory"):
        async with to_file(tmp_path / "no" / "dir"):
            pass


async def test_an_output_that_is_full_loses_the_batch():
    """What cannot be written is a permanent error, which is counted."""
    with pytest.raises(PermanentError, match="cannot write: No space left on device"):
        async with to_file(Path("/dev/full")) as out:
            await out.consume(batch())


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("verbosity: loud", "'basic', 'normal' or 'detailed'"),
        ("verbosity: 1", "'basic', 'normal' or 'detailed'"),
        ("output_paths: [stderr]", "output_paths is not supported when use_internal_logger is true"),
        ("{use_internal_logger: false, output_paths: []}", "output_paths must not be empty"),
        ("sampling_initial: -1", "greater than or equal to 0"),
    ],
)
def test_wrong_settings_are_refused(yaml, text):
    """Mistakes are said without any I/O."""
    with pytest.raises(ValidationError) as caught:
        make(COMPONENT, yaml)
    assert text in str(caught.value)


def test_verbosity_ignores_case():
    """`Detailed` is `detailed`, as in the Collector."""
    assert COMPONENT.config.model_validate({"verbosity": "Detailed"}).verbosity == "detailed"
