"""One bad row takes none with it: each case of the reference's table, 499 of 500 stored."""

from __future__ import annotations

import random

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)

from sluiceway.component import PartialSuccess
from sluiceway.errors import PermanentError
from sluiceway.otlp import Batch, Signal, split
from tests.exporters.timescaledb.bench import NOW, Place, exporter, logs, text

TIME = NOW * 10**9


def record(key: str = "k", **more: object) -> LogRecord:
    """A record with one attribute, or fields as told."""
    value = more.pop("value", text("v"))
    return LogRecord(time_unix_nano=TIME, attributes=[KeyValue(key=key, value=value)], **more)  # type: ignore[arg-type]


def nested(depth: int) -> AnyValue:
    """Arrays in arrays."""
    value = AnyValue(int_value=1)
    for _ in range(depth):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    return value


KNOWN_AHEAD = {
    "NUL in a text": record(body=text("a\0b")),
    "NUL in a severity": record(severity_text="\0"),
    "NUL in a key": record("a\0"),
    "NUL in a value": record(value=text("\0")),
    "NUL in a nested key": record(value=AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="\0")]))),
    "NUL in a structured body": record(body=AnyValue(array_value=ArrayValue(values=[text("\0")]))),
    "a text too large": record(body=text("x" * 70_000)),
    "a document too large": record(value=text("x" * 70_000)),
}


@pytest.mark.parametrize("bad", KNOWN_AHEAD.values(), ids=KNOWN_AHEAD)
async def test_what_is_known_ahead_is_rejected_alone(place: Place, bad: LogRecord) -> None:
    """499 are stored at the first attempt, and the exporter says which item it was."""
    async with exporter(place, "max_value_size: 64KiB") as out:
        partial = await out.consume(logs(bad=bad))
    assert isinstance(partial, PartialSuccess)
    assert partial.rejected == 1
    assert partial.batch is not None
    assert partial.batch.items == 1
    assert partial.batch.proto().resource_logs[0].scope_logs[0].log_records[0] == bad
    assert place.count() == 499


async def test_a_batch_whose_rows_take_too_much_is_written_in_parts(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is a transaction of its own, and what is rejected is gathered."""
    monkeypatch.setattr("sluiceway.exporters.timescaledb.part.MOST", 20_000)
    bad = logs(500, bad=record(body=text("\0")))
    async with exporter(place) as out:
        partial = await out.consume(bad)
    assert partial is not None
    assert (partial.rejected, partial.batch.items) == (1, 1)
    assert place.count() == 499
    assert place.count("batches") > 2


async def test_a_part_that_the_server_refuses_is_divided_where_the_others_are_stored(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a part is committed the batch is not refused as a whole: its halves would be stored once more."""
    monkeypatch.setattr("sluiceway.exporters.timescaledb.part.MOST", 20_000)
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql("TRUNCATE otel_logs", "ALTER TABLE otel_logs ADD CHECK (body IS DISTINCT FROM 'bad')")
        partial = await out.consume(logs(500, bad=record(body=text("bad"))))
    assert partial is not None
    assert (partial.rejected, partial.batch.items) == (1, 1)
    assert partial.batch.proto().resource_logs[0].scope_logs[0].log_records[0].body.string_value == "bad"
    assert place.count() == 499


async def test_a_bad_resource_rejects_what_is_under_it(place: Place) -> None:
    """All items of the resource, and no others."""
    both = logs(3, service_name="a\0")
    joined = both.with_payload(both.payload + logs(4).payload, 7)
    async with exporter(place) as out:
        partial = await out.consume(joined)
    assert partial is not None
    assert (partial.rejected, place.count()) == (3, 4)


HARMLESS = {
    "a text that looks like an escape of NUL": text("\\u0000 \\ud800"),
    "a replacement character": text("a\ufffdb"),
    "NaN": AnyValue(double_value=float("nan")),
    "infinity": AnyValue(double_value=float("-inf")),
    "the largest double": AnyValue(double_value=1.7976931348623157e308),
    "the smallest double": AnyValue(double_value=5e-324),
    "the smallest integer": AnyValue(int_value=-(2**63)),
    "the deepest value": nested(40),
    "bytes": AnyValue(bytes_value=b"\0\xff"),
}


@pytest.mark.parametrize("value", HARMLESS.values(), ids=HARMLESS)
async def test_what_other_exporters_choke_on_is_stored(place: Place, value: AnyValue) -> None:
    """All 500."""
    async with exporter(place) as out:
        assert await out.consume(logs(bad=record(value=value, body=value))) is None
    assert place.count() == 500


async def test_numbers_are_exact_in_documents(place: Place) -> None:
    """Integers to the last digit, doubles as they were, NaN and the infinities as texts, bytes as Base64."""
    values = [
        AnyValue(int_value=2**63 - 1),
        AnyValue(double_value=0.1),
        AnyValue(double_value=1.0),
        AnyValue(double_value=float("inf")),
        AnyValue(bytes_value=b"\0\xff"),
        AnyValue(bool_value=True),
        AnyValue(),
    ]
    async with exporter(place) as out:
        await out.consume(logs(1, bad=record(value=AnyValue(array_value=ArrayValue(values=values)))))
    found = place.sql("SELECT attributes FROM otel_logs")
    assert found == '{"k": [9223372036854775807, 0.1, 1.0, "Infinity", "AP8=", true, null]}'


async def test_numbers_beyond_bigint_are_kept_exactly(place: Place) -> None:
    """They do not fit their columns, which are NULL; the row has them in `overflow`."""
    top = 2**64 - 1
    points = [HistogramDataPoint(time_unix_nano=top, count=top, bucket_counts=[1, top])]
    entry = ResourceMetrics(
        scope_metrics=[ScopeMetrics(metrics=[Metric(name="m", histogram=Histogram(data_points=points))])]
    )
    async with exporter(place, signal=Signal.METRICS) as out:
        await out.consume(Batch.from_proto(MetricsData(resource_metrics=[entry])))
    found = place.sql(
        "SELECT count IS NULL, bucket_counts IS NULL, time_unix_nano IS NULL, overflow->>'count',"
        " overflow->'bucket_counts'->>1, overflow->>'time', time FROM otel_histograms"
    )
    assert found == f"t|t|t|{top}|{top}|{top}|2023-11-14 22:23:20+00"


@pytest.mark.parametrize(("nanos", "stored"), [
    (TIME - 8 * 86_400 * 10**9, "2023-11-07 22:13:20+00"), (TIME + 3_600 * 10**9, "2023-11-14 22:23:20+00"),
    (1, "2023-11-07 22:13:20+00"), (2**64 - 1, "2023-11-14 22:23:20+00"),
])  # fmt: skip
async def test_times_outside_the_window_are_moved_to_its_border(place: Place, nanos: int, stored: str) -> None:
    """What it was stands in `overflow`, to the nanosecond."""
    async with exporter(place) as out:
        assert await out.consume(logs(1, bad=LogRecord(time_unix_nano=nanos))) is None
    assert place.sql("SELECT time, overflow->>'time' FROM otel_logs") == f"{stored}|{nanos}"


async def test_a_time_that_is_not_said_is_the_observed_one_or_now(place: Place) -> None:
    """Nothing was moved then."""
    async with exporter(place) as out:
        await out.consume(logs(1, bad=LogRecord(observed_time_unix_nano=TIME - 10**9)))
        await out.consume(logs(1, bad=LogRecord(), received=2.0))
    found = place.sql("SELECT time, time_unix_nano IS NULL, overflow IS NULL FROM otel_logs ORDER BY 1")
    assert found.splitlines() == ["2023-11-14 22:13:19+00|t|t", "2023-11-14 22:13:20+00|t|t"]


async def deliver(out, batch: Batch, attempts: list[int]) -> int:
    """Halve what is refused for its data, as the parts around an exporter do; how many items were given up."""
    attempts.append(batch.items)
    try:
        partial = await out.consume(batch)
    except PermanentError:
        if batch.items == 1:
            return 1
        return sum([await deliver(out, half, attempts) for half in split(batch, items=(batch.items + 1) // 2)])
    return 0 if partial is None else partial.rejected


SERVER_SIDE = {
    "a constraint": ("ALTER TABLE otel_logs ADD CHECK (body IS DISTINCT FROM 'bad')", record(body=text("bad"))),
    "a trigger": (
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN IF NEW.body = 'bad' THEN RAISE 'no: %', NEW.body; END IF; RETURN NEW; END $$;
           CREATE TRIGGER refuse BEFORE INSERT ON otel_logs FOR EACH ROW EXECUTE FUNCTION refuse()""",
        record(body=text("bad")),
    ),
    "a document beyond an index": (
        "CREATE INDEX ON otel_logs (body)",
        record(body=text("".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000)))),
    ),
    "a number that a column of the user cannot hold": (
        "ALTER TABLE otel_logs ADD COLUMN size smallint GENERATED ALWAYS AS ((attributes->>'k')::int::smallint) STORED",
        record(value=AnyValue(int_value=70_000)),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("setup", "bad"), SERVER_SIDE.values(), ids=SERVER_SIDE)
async def test_what_only_the_server_knows_is_found_by_halving(place: Place, setup: str, bad: LogRecord) -> None:
    """Within 2·log2(n) sends more the row stands alone, and 499 are stored; no text says what was in it."""
    attempts: list[int] = []
    async with exporter(place) as out:
        await out.consume(logs(1))
        place.sql("TRUNCATE otel_logs", setup)
        batch = logs(received=2.0, bad=bad)
        with pytest.raises(PermanentError) as caught:
            await out.consume(batch)
        assert caught.value.code == "INVALID_ARGUMENT"
        assert "bad" not in str(caught.value)
        assert await deliver(out, batch, attempts) == 1
    assert place.count() == 499
    assert len(attempts) <= 19


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_in_another_encoding_loses_only_what_it_cannot_hold(place: Place, encoding: str) -> None:
    """A character that LATIN1 has not is refused alone; SQL_ASCII takes all."""
    name = f"{place.database}_{encoding.lower()}"
    place.sql(f"CREATE DATABASE {name} OWNER otel ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    other = Place(place.server, name)
    async with exporter(other) as out:
        given_up = await deliver(out, logs(bad=record(body=text("日本"))), [])
    assert given_up == (encoding == "LATIN1")
    assert other.count() == 500 - given_up
