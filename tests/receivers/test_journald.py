"""The receiver with a real journal, which systemd-journal-remote writes and journalctl follows."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from sluiceway.component import Context, Kind, Reason, Status
from sluiceway.errors import ConfigError, RefusedError
from sluiceway.extensions.file_storage import COMPONENT as STORAGE
from sluiceway.extensions.file_storage import FileStorage
from sluiceway.receivers.journald import COMPONENT, JournaldReceiver
from sluiceway.stanza.journal.command import command
from sluiceway.stanza.journal.entries import read
from sluiceway.testing import ManualClock, MemorySink, settings
from tests.receivers.records import attributes, bodies, records, until
from tests.servers.journal import journal


def receiver(yaml, sink, **context) -> JournaldReceiver:
    """A receiver in front of a sink."""
    config = settings(COMPONENT, f"receivers: {{journald: {{{yaml}}}}}")
    return JournaldReceiver(config, Context("journald", Kind.RECEIVER, **context), sink)


def messages(sink: MemorySink) -> list[object]:
    """The messages that arrived."""
    return [body["MESSAGE"] for body in bodies(sink.batches)]


async def test_entries_come_with_their_fields_and_their_time(tmp_path: Path) -> None:
    """The body is the map of all fields; the time is that of the journal."""
    sink = MemorySink()
    async with journal(tmp_path) as log:
        time = await log.write("hello", SYSLOG_IDENTIFIER="app", _PID="7")
        await until(log.path.exists)
        async with receiver(f"files: ['{log.path}'], start_at: beginning", sink):
            await until(lambda: sink.items == 1)
            await log.write("later")
            await until(lambda: sink.items == 2)
    first = next(records(sink.batches))
    body = bodies(sink.batches)[0]
    assert (body["MESSAGE"], body["SYSLOG_IDENTIFIER"], body["_PID"], body["PRIORITY"]) == ("hello", "app", "7", "6")
    assert "__CURSOR" in body
    assert "__REALTIME_TIMESTAMP" not in body
    assert first.time_unix_nano == time * 1000
    assert messages(sink) == ["hello", "later"]


async def test_end_means_what_comes(tmp_path: Path) -> None:
    """With `start_at: end` entries that were there already are not read, not even the last ten."""
    sink = MemorySink()
    async with journal(tmp_path) as log:
        for number in range(20):
            await log.write(f"old {number}")
        await until(lambda: log.path.exists() and log.path.stat().st_blocks)
        async with receiver(f"files: ['{log.path}']", sink):
            number = 0
            while not sink.items:  # journalctl begins to follow at a moment that nobody is told
                await log.write(f"new {number}")
                number += 1
                await asyncio.sleep(0.02)
    assert all(str(message).startswith("new") for message in messages(sink))


async def test_filters_are_journalctls(tmp_path: Path) -> None:
    """Units, identifiers, priority and matches choose entries."""
    sink = MemorySink()
    async with journal(tmp_path) as log:
        await log.write("a", SYSLOG_IDENTIFIER="x", _SYSTEMD_UNIT="ssh.service", _UID="0")
        await log.write("b", SYSLOG_IDENTIFIER="y", _SYSTEMD_UNIT="ssh.service", _UID="0")
        await log.write("c", SYSLOG_IDENTIFIER="x", _SYSTEMD_UNIT="ssh.service", _UID="0", PRIORITY="7")
        await log.write("d", SYSLOG_IDENTIFIER="x", _SYSTEMD_UNIT="ssh.service", _UID="1")
        await log.write("e", SYSLOG_IDENTIFIER="x", _UID="1", PRIORITY="3")
        await until(log.path.exists)
        chosen = "identifiers: [x], matches: [{_UID: '0'}, {_UID: '1', PRIORITY: '3'}]"
        async with receiver(f"files: ['{log.path}'], start_at: beginning, {chosen}", sink):
            await until(lambda: sink.items == 2)
    assert messages(sink) == ["a", "e"]


async def test_a_message_that_is_no_text_becomes_one_if_asked(tmp_path: Path) -> None:
    """Journalctl tells it as a list of bytes, and so does the record unless `convert_message_bytes` is set."""
    async with journal(tmp_path) as log:
        await log.write("a\x1b[31m")
        await until(log.path.exists)
        for convert, message in (("false", list(b"a\x1b[31m")), ("true", "a\x1b[31m")):
            sink = MemorySink()
            yaml = f"files: ['{log.path}'], start_at: beginning, convert_message_bytes: {convert}"
            async with receiver(yaml, sink):
                await until(lambda sink=sink: sink.items)
            assert messages(sink) == [message]


async def test_a_refused_entry_is_kept_and_sent_again(tmp_path: Path) -> None:
    """Nothing is lost while the pipeline refuses, and nothing comes twice."""
    sink, clock = MemorySink(), ManualClock()
    sink.error = RefusedError("full")
    async with journal(tmp_path) as log:
        for number in range(50):
            await log.write(f"line {number}")
        await until(log.path.exists)
        async with receiver(f"files: ['{log.path}'], start_at: beginning", sink, clock=clock):
            await until(lambda: sink.calls)
            sink.error = None
            await clock.advance(1)
            await until(lambda: sink.items == 50)
    assert messages(sink) == [f"line {number}" for number in range(50)]


def script(folder: Path, text: str) -> Path:
    """A program that stands in the way of journalctl, to let it fail."""
    path = folder / "journalctl"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_reading_goes_on_behind_the_last_entry_when_journalctl_dies(tmp_path: Path) -> None:
    """It is started again after two seconds, nothing is read twice or lost, and the status says what was wrong."""
    sink, clock, reports = MemorySink(), ManualClock(), []
    report = lambda status, message="": reports.append((status, message))  # noqa: E731
    path = script(tmp_path, 'echo $$ > "$(dirname "$0")/pid"; exec /usr/bin/journalctl "$@"')
    async with journal(tmp_path) as log:
        await log.write("one")
        await until(log.path.exists)
        yaml = f"files: ['{log.path}'], start_at: beginning, journalctl_path: {path}"
        async with receiver(yaml, sink, clock=clock, report=report):
            await until(lambda: sink.items == 1)
            os.kill(int((tmp_path / "pid").read_text()), 9)
            await until(lambda: reports)
            for number in range(20):
                await log.write(f"meanwhile {number}")
            await clock.advance(2)
            await until(lambda: sink.items == 21)
    assert messages(sink) == ["one", *(f"meanwhile {number}" for number in range(20))]
    assert reports == [(Status.RECOVERABLE_ERROR, "journalctl ended with code -9"), (Status.OK, "")]


async def test_a_journalctl_that_is_missing_is_said_and_looked_for_again(tmp_path: Path) -> None:
    """Starting does not fail; the log says it once, the status as long as it lasts."""
    sink, clock, reports = MemorySink(), ManualClock(), []
    report = lambda status, message="": reports.append((status, message))  # noqa: E731
    async with journal(tmp_path) as log:
        await log.write("one")
        await until(log.path.exists)
        yaml = f"files: ['{log.path}'], start_at: beginning, journalctl_path: {tmp_path}/journalctl"
        async with receiver(yaml, sink, clock=clock, report=report):
            await until(lambda: reports)
            for _ in range(4):
                await clock.advance(60)
            script(tmp_path, 'exec /usr/bin/journalctl "$@"')
            await clock.advance(60)
            await until(lambda: sink.items == 1)
    missing = f"cannot start {tmp_path}/journalctl: No such file or directory"
    assert reports == [(Status.RECOVERABLE_ERROR, missing), (Status.OK, "")]


async def test_what_journalctl_says_is_in_the_status(tmp_path: Path) -> None:
    """The last line of its standard error tells the person what to mend, without control characters."""
    reports = []
    path = script(tmp_path, r'printf "first\nno\033[31m access\n" >&2; exit 3')
    async with receiver(
        f"journalctl_path: {path}", MemorySink(), clock=ManualClock(),
        report=lambda status, message="": reports.append((status, message)),
    ):  # fmt: skip
        await until(lambda: reports)
    assert reports == [(Status.RECOVERABLE_ERROR, "journalctl ended with code 3: no\\u001b[31m access")]


async def test_a_line_that_is_no_entry_costs_itself(tmp_path: Path) -> None:
    """It is counted, and the others are delivered."""
    sink, drops = MemorySink(), []
    good = '{"__CURSOR":"c","__REALTIME_TIMESTAMP":"5","MESSAGE":"x"}'
    path = script(tmp_path, f"echo '{good}'; echo '{{'; echo '[]'; echo '{{\"a\":1}}'; echo '{good}'; sleep 60")
    async with receiver(
        f"journalctl_path: {path}", sink, drop=lambda items, reason, **_: drops.append((items, reason))
    ):
        await until(lambda: sink.items == 2)
    assert drops == [(1, Reason.REJECTED)] * 3


def test_the_call_is_the_collectors() -> None:
    """Every setting is an argument, and nothing in a value can become another one."""
    yaml = (
        "receivers: {journald: {directory: /j, units: [ssh], identifiers: [-x], priority: err..warning, grep: -f, "
        "dmesg: true, all: true, merge: true, namespace: n, root_path: /host}}"
    )
    assert command(settings(COMPONENT, yaml), "s=1;i=2") == [
        "chroot", "/host", "journalctl", "--utc", "--output=json", "--follow", "--no-tail", "--after-cursor=s=1;i=2",
        "--unit=ssh", "--identifier=-x", "--priority=err..warning", "--grep=-f", "--namespace=n", "--dmesg", "--all",
        "--merge", "--directory=/j",
    ]  # fmt: skip


@pytest.mark.parametrize(("yaml", "text"), [
    ("priority: loud", '"loud" is no priority'),
    ("matches: [{'a b': x}]", "'a b' is not a valid Systemd field name"),
    ("start_at: middle", "start_at"),
])  # fmt: skip
def test_a_wrong_configuration_is_found_at_load(yaml, text) -> None:
    """The error says what is wrong."""
    with pytest.raises(ConfigError, match=text):
        settings(COMPONENT, f"receivers: {{journald: {{{yaml}}}}}")


async def test_static_attributes_are_added(tmp_path: Path) -> None:
    """`attributes` and `resource` are on every record."""
    sink = MemorySink()
    path = script(tmp_path, 'echo \'{"__CURSOR":"c","__REALTIME_TIMESTAMP":"5","MESSAGE":"x"}\'; sleep 60')
    async with receiver(f"journalctl_path: {path}, attributes: {{a: b}}, resource: {{c: d}}", sink):
        await until(lambda: sink.items)
    assert attributes(next(records(sink.batches))) == {"a": "b"}
    assert attributes(sink.batches[0].proto().resource_logs[0].resource) == {"c": "d"}


async def test_the_cursor_survives_a_restart_and_stays_in_front_of_what_an_operator_keeps(tmp_path: Path) -> None:
    """What was delivered does not come again, and what waited for others when the process died does."""
    sink = MemorySink()
    kept: dict[str, bytes] = {}
    async with journal(tmp_path) as log:
        for message in ("-1", "a", "-2", "b"):
            await log.write(message)
        await until(log.path.exists)
        recombine = "{type: recombine, combine_field: body.MESSAGE, is_first_entry: 'body.MESSAGE startsWith \"-\"'}"
        yaml = f"files: ['{log.path}'], start_at: beginning, storage: s, operators: [{recombine}]"
        storage = FileStorage(
            settings(STORAGE, f"extensions: {{file_storage: {{directory: '{tmp_path}/s'}}}}"),
            Context("file_storage", Kind.EXTENSION),
        )
        made = receiver(yaml, sink, extension=lambda _: storage, clock=ManualClock())
        async with storage, made:
            await until(lambda: sink.items == 1)
            await until(made._journal._read_up_to.__len__)
            kept = await made._checkpoints._client.items()
        assert messages(sink) == ["-1\na", "-2\nb"]
        async with storage.client(Context("journald", Kind.RECEIVER)) as client:
            assert (await client.items())["cursor"] != kept["cursor"]
            await client.batch(kept)  # as a kill would have left it
        again = MemorySink()
        async with receiver(yaml, again, extension=lambda _: storage):
            await log.write("-3")
            await until(lambda: again.items)
    assert messages(again)[0] == "-2\nb"


@pytest.mark.parametrize(("message", "body"), [
    ('["a", "b"]', ["a", "b"]), ("[104, 105]", "hi"), ("[104, 300]", [104, 300]), ("[true]", [True]), ("null", None),
])  # fmt: skip
def test_a_message_is_made_a_text_only_where_it_is_one(message: str, body: object) -> None:
    """A field that stands in an entry several times is a list of texts, and whoever sends it ends nothing."""
    line = f'{{"MESSAGE": {message}, "__CURSOR": "c", "__REALTIME_TIMESTAMP": "1"}}'
    entry, _ = read(line.encode(), 1, convert_message_bytes=True)
    assert entry.body["MESSAGE"] == body
