"""The receiver around the presets: files, both kinds of pipeline, what is kept of a line, and pressure."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from sluiceway.component import Context, Kind, Reason, Status
from sluiceway.errors import ConfigError, RefusedError
from sluiceway.otlp import Signal
from sluiceway.receivers.security_log import COMPONENT, SecurityLogReceiver
from sluiceway.receivers.security_log.mapping import Mapping
from sluiceway.receivers.security_log.sources import from_journal
from sluiceway.service import Collector
from sluiceway.stanza import Entry
from sluiceway.testing import ManualClock, MemorySink, check_metrics, points, settings
from tests.receivers.records import attributes, bodies, records, until, value
from tests.receivers.security_log.schema import problems
from tests.servers.journal import journal

FAILED = "sshd[9]: Failed password for root from 10.0.0.4 port 5 ssh2"
HEAD = "Nov 14 22:13:00 web1 "
LOGS = frozenset({Signal.LOGS})
BOTH = frozenset({Signal.LOGS, Signal.METRICS})


def receiver(yaml, sink, *, signals=LOGS, drops=None, **context) -> SecurityLogReceiver:
    """A receiver in front of a sink."""
    config = settings(COMPONENT, f"receivers: {{security_log: {{presets: [sshd, sudo], location: UTC, {yaml}}}}}")
    lost = drops if drops is not None else []
    made = Context(
        "security_log", Kind.RECEIVER, signals, drop=lambda items, reason, **more: lost.append((items, reason, more)),
        **context,
    )  # fmt: skip
    return SecurityLogReceiver(config, made, sink)


def append(path: Path, *lines: str) -> None:
    """Write lines to a log."""
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


async def test_a_line_becomes_a_record_that_holds_its_event(tmp_path: Path) -> None:
    """Name, body, attributes, time and severity of the record are those of the event."""
    sink, log = MemorySink(), tmp_path / "auth.log"
    append(log, HEAD + FAILED)
    async with receiver(f"include: ['{log}'], start_at: beginning", sink):
        await until(lambda: sink.items)
    (record,) = records(sink.batches)
    body = value(record.body)
    assert problems(body) == []
    assert record.event_name == "ocsf.authentication"
    assert attributes(record) == {
        "user.name": "root", "source.address": "10.0.0.4", "process.pid": 9, "log.file.name": "auth.log",
    }  # fmt: skip
    assert (record.severity_number, record.severity_text, body["severity_id"]) == (10, "Low", 2)
    assert body["raw_data"] == HEAD + FAILED
    assert record.time_unix_nano == body["time"] * 10**6


@pytest.mark.parametrize(("raw", "keys"), [
    ("keep", {"raw_data"}), ("hash", {"raw_data_hash", "raw_data_size"}), ("drop", set()),
])  # fmt: skip
async def test_raw_says_what_is_kept_of_a_line(tmp_path: Path, raw, keys) -> None:
    """Its text, its SHA-256, or nothing: then the text stands nowhere."""
    sink, log = MemorySink(), tmp_path / "auth.log"
    append(log, HEAD + FAILED, "something else")
    async with receiver(f"include: ['{log}'], start_at: beginning, raw: {raw}", sink):
        await until(lambda: sink.items == 2)
    body, other = bodies(sink.batches)
    assert problems(body) == []
    assert {key for key in body if key.startswith("raw")} == keys
    assert ("port 5 ssh2" in str(body)) is (raw == "keep")
    if raw == "hash":
        assert body["raw_data_hash"]["value"] == hashlib.sha256((HEAD + FAILED).encode()).hexdigest()
    assert (other == "something else") is (raw == "keep")


@pytest.mark.parametrize(("on_unmapped", "items", "drops", "tagged"), [
    ("keep", 1, [], None), ("drop", 0, [(1, Reason.FILTERED, {"intended": True})], None), ("tag", 1, [], True),
])  # fmt: skip
async def test_on_unmapped_says_what_becomes_of_other_lines(tmp_path: Path, on_unmapped, items, drops, tagged) -> None:
    """A line that no preset knows is kept as it is, dropped and counted, or kept with a mark."""
    sink, log, lost = MemorySink(), tmp_path / "auth.log", []
    append(log, "a \x1b[31m line", HEAD + FAILED)
    async with receiver(f"include: ['{log}'], start_at: beginning, on_unmapped: {on_unmapped}", sink, drops=lost):
        await until(lambda: sink.items == items + 1)
        await until(lambda: lost == drops)
    if items:
        other = next(records(sink.batches))
        assert value(other.body) == "a \\u001b[31m line"
        assert attributes(other).get("security.unmapped") is tagged


async def test_events_are_counted_in_a_metrics_pipeline(tmp_path: Path) -> None:
    """Both metrics are emitted as they are declared; events count as often as they happened."""
    sink, clock, log = MemorySink(), ManualClock(), tmp_path / "auth.log"
    append(log, HEAD + FAILED, f"{HEAD}sshd[9]: message repeated 4 times: [ {FAILED[9:]}]", "x")
    append(log, f"{HEAD}sudo: al : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls")
    yaml = f"include: ['{log}'], start_at: beginning, collection_interval: 10s"
    async with receiver(yaml, sink, signals=frozenset({Signal.METRICS}), clock=clock):
        await until(lambda: clock.sleepers >= 2)
        await clock.advance(10)
        await until(lambda: sink.items)
    assert check_metrics(COMPONENT, sink.batches) == set()
    found = points(sink.batches[-1:])
    counted = {}
    for point in found["security.events"]:
        named = point["attributes"]
        counted[named["ocsf.class_uid"], named["outcome"], named["severity"]] = point["value"]
    assert counted == {(3002, "failure", "low"): 5, (3002, "success", "informational"): 1}
    (failures,) = found["security.auth.failures"]
    assert (failures["value"], failures["attributes"]) == (5, {"security.preset": "sshd"})


async def test_one_receiver_serves_both_kinds_of_pipeline(tmp_path: Path) -> None:
    """Records and metrics come from one reading."""
    sink, log = MemorySink(), tmp_path / "auth.log"
    append(log, HEAD + FAILED)
    yaml = f"include: ['{log}'], start_at: beginning, collection_interval: 50ms, initial_delay: 0s"
    async with receiver(yaml, sink, signals=BOTH):
        await until(lambda: {batch.signal for batch in sink.batches} == BOTH)


async def test_a_refused_line_is_kept_and_counted_once(tmp_path: Path) -> None:
    """Under pressure lines come again, in their order, and metrics count them once."""
    sink, clock, log = MemorySink(), ManualClock(), tmp_path / "auth.log"
    sink.error = RefusedError("full")
    append(log, *(f"{HEAD}sshd[{number}]: {FAILED[9:]}" for number in range(1, 101)))
    yaml = f"include: ['{log}'], start_at: beginning, collection_interval: 1000s, initial_delay: 100s"
    async with receiver(yaml, sink, signals=BOTH, clock=clock):
        await until(lambda: sink.calls)
        await clock.advance(5)
        sink.error = None
        await clock.advance(1)
        await until(lambda: sink.items == 100)
        await clock.advance(100)
        await until(lambda: sink.batches[-1].signal is Signal.METRICS)
    logs = [batch for batch in sink.batches if batch.signal is Signal.LOGS]
    assert [attributes(record)["process.pid"] for record in records(logs)] == list(range(1, 101))
    assert points(sink.batches[-1:])["security.events"][0]["value"] == 100


async def test_end_means_what_is_written_from_now_on(tmp_path: Path) -> None:
    """Lines that stand in a file at the start are not read, those of a file that comes later all are."""
    sink, log, later = MemorySink(), tmp_path / "auth.log", tmp_path / "later.log"
    append(log, f"{HEAD}sshd[1]: {FAILED[9:]}")
    async with receiver(f"include: ['{tmp_path}/*.log'], poll_interval: 10ms", sink):
        append(log, f"{HEAD}sshd[2]: {FAILED[9:]}")
        await until(lambda: sink.items == 1)
        append(later, f"{HEAD}sshd[3]: {FAILED[9:]}")
        await until(lambda: sink.items == 2)
    assert [attributes(record)["process.pid"] for record in records(sink.batches)] == [2, 3]


@pytest.mark.parametrize("how", ["rename", "truncate"])
async def test_a_rotated_file_is_read_on(tmp_path: Path, how) -> None:
    """Nothing is lost or repeated when a log is renamed, nor when it is copied and emptied once it was read."""
    sink, log = MemorySink(), tmp_path / "auth.log"
    append(log, "")
    async with receiver(f"include: ['{log}'], start_at: beginning, poll_interval: 10ms", sink):
        for turn in range(5):
            lines = [f"{HEAD}sshd[{turn * 10 + number}]: {FAILED[9:]}" for number in range(1, 11)]
            append(log, *lines[:5])
            await until(lambda turn=turn: sink.items == turn * 10 + 5)
            if how == "rename":
                log.rename(tmp_path / f"old.{turn}")
                append(tmp_path / f"old.{turn}", *lines[5:])  # the writer has the file still open
                append(log, "")
            else:
                append(log, *lines[5:])
                await until(lambda turn=turn: sink.items == turn * 10 + 10)
                log.write_text("")
                await asyncio.sleep(0.05)
            await until(lambda turn=turn: sink.items == turn * 10 + 10)
        await until(lambda: sink.items == 50)
    found = [attributes(record)["process.pid"] for record in records(sink.batches)]
    assert sorted(found) == list(range(1, 51))


async def test_one_over_long_line_costs_itself(tmp_path: Path) -> None:
    """It is cut, and the lines around it are whole."""
    sink, log = MemorySink(), tmp_path / "auth.log"
    append(log, HEAD + FAILED, "x" * 3_000_000, HEAD + FAILED)
    async with receiver(f"include: ['{log}'], start_at: beginning, max_log_size: 4KiB", sink):
        await until(lambda: sink.items == 3)
    first, long, last = bodies(sink.batches)
    assert first["user"] == last["user"] == {"name": "root"}
    assert long == "x" * 4096


async def test_a_file_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    """The status names it while it lasts, and the others are read."""
    sink, log, reports = MemorySink(), tmp_path / "auth.log", []
    loop = tmp_path / "b.log"
    append(log, HEAD + FAILED)
    yaml = f"include: ['{log}', '{loop}'], start_at: beginning, poll_interval: 10ms"
    made = receiver(yaml, sink, report=lambda status, message="": reports.append((status, message)))
    loop.symlink_to(loop)
    async with made:
        await until(lambda: reports and sink.items)
        loop.unlink()
        await until(lambda: len(reports) == 2)
    missing = f"cannot read {loop}: Too many levels of symbolic links"
    assert reports == [(Status.RECOVERABLE_ERROR, missing), (Status.OK, "")]


async def test_the_journal_is_a_source(tmp_path: Path) -> None:
    """Program, process, machine and time are the journal's; the executable is told, which nobody can forge."""
    sink = MemorySink()
    async with journal(tmp_path) as log:
        moment = await log.write(FAILED[9:], SYSLOG_IDENTIFIER="sshd", _PID="7", _HOSTNAME="db1", _EXE="/usr/sbin/sshd")
        await log.write("a\nb", SYSLOG_IDENTIFIER="sshd", _PID="7")
        await until(log.path.exists)
        async with receiver(f"journald: {{files: ['{log.path}'], start_at: beginning}}", sink):
            await until(lambda: sink.items == 2)
    first, second = records(sink.batches)
    body = value(first.body)
    assert problems(body) == []
    assert (body["dst_endpoint"], first.time_unix_nano) == ({"hostname": "db1"}, moment * 1000)
    assert attributes(first)["process.executable.path"] == "/usr/sbin/sshd"
    assert attributes(first)["process.pid"] == 7
    assert value(second.body) == "a\\nb"


@pytest.mark.parametrize(("yaml", "text"), [
    ("", "nothing is read: set include, journald or syslog"),
    ("include: [x], presets: [sshd, ssh]", "ssh"),
    ("include: [x], presets: []", "presets"),
    ("include: [x], presets: [sshd, sshd]", "a preset is named twice"),
    ("include: [x], location: Nowhere", "failed to load location"),
    ("include: [x], metrics: {security.event: {enabled: true}}", "security.events"),
])  # fmt: skip
def test_a_wrong_configuration_is_found_at_load(yaml, text) -> None:
    """The error says what is wrong."""
    presets = "" if "presets" in yaml else "presets: [sshd], "
    with pytest.raises(ConfigError, match=text):
        settings(COMPONENT, f"receivers: {{security_log: {{{presets}{yaml}}}}}")


async def test_where_reading_stands_survives_a_restart(tmp_path: Path) -> None:
    """With a storage lines that came meanwhile are read, and none twice; of the journal, too."""
    log = tmp_path / "auth.log"
    async with journal(tmp_path) as entries:
        await entries.write("before", SYSLOG_IDENTIFIER="sshd")
        await until(entries.path.exists)
        text = f"""
        extensions: {{file_storage: {{directory: '{tmp_path}/storage'}}}}
        receivers:
          security_log:
            include: ['{log}']
            start_at: beginning
            presets: [sshd]
            storage: file_storage
            journald: {{files: ['{entries.path}'], start_at: beginning}}
        exporters: {{memory: {{component: "sluiceway.testing:MemorySink"}}}}
        service:
          extensions: [file_storage]
          telemetry: {{metrics: {{level: none}}}}
          pipelines: {{logs: {{receivers: [security_log], exporters: [memory]}}}}
        """
        append(log, HEAD + FAILED)
        async with Collector.from_yaml(text) as collector:
            first = collector.component("exporter", "memory")
            await until(lambda: first.items == 2)
        append(log, HEAD + FAILED.replace("root", "bob"))
        await entries.write("after", SYSLOG_IDENTIFIER="sshd")
        async with Collector.from_yaml(text) as collector:
            second = collector.component("exporter", "memory")
            await until(lambda: second.items >= 2)
    assert sorted(str(body)[:5] for body in bodies(first.batches)) != []
    told = [body if isinstance(body, str) else body["user"]["name"] for body in bodies(second.batches)]
    assert sorted(told) == ["after", "bob"]


async def test_a_source_that_is_away_is_told_while_others_are_well(tmp_path: Path) -> None:
    """Measurements and files that go well do not hide a journal that cannot be read."""
    sink, statuses = MemorySink(), []
    append(tmp_path / "auth.log", HEAD + FAILED)
    yaml = f"""include: '{tmp_path}/*.log', start_at: beginning, collection_interval: 10ms, initial_delay: 0s,
        journald: {{journalctl_path: {tmp_path}/nowhere}}"""
    report = lambda status, message="": statuses.append((status, message))  # noqa: E731
    async with receiver(yaml, sink, signals=BOTH, report=report):
        await until(lambda: sum(batch.signal is Signal.METRICS for batch in sink.batches) > 2)
    assert statuses[-1][0] is Status.RECOVERABLE_ERROR
    assert statuses[-1][1].startswith(f"cannot start {tmp_path}/nowhere")


@pytest.mark.parametrize("body", ["sshd text", ["a", "b"], None, {"MESSAGE": ["Failed", "x"], "_PID": "1"}])
def test_operators_may_change_what_the_journal_told(body: object) -> None:
    """An entry whose body is no map any more is a message without a header."""
    text, _ = from_journal(Mapping(("sshd",), hostname="here"), Entry(body, 1, {}, {}))
    assert isinstance(text, str)
