"""The extension's stores: what was confirmed is there, whatever happens to the process or the file."""

import asyncio
import os
import signal
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sluiceway.component import Context, Kind, Status, StorageClient
from sluiceway.errors import ConfigError, StartError
from sluiceway.extensions.file_storage import COMPONENT, FileStorage, FileStorageConfig
from sluiceway.extensions.file_storage.database import Database
from sluiceway.segments import Log, Record
from sluiceway.service import Collector
from sluiceway.testing import settings

ROOT = Path(__file__).parents[2]


def storage(folder: Path, yaml: str = "") -> FileStorage:
    """The extension, with its files in a folder."""
    config = settings(COMPONENT, f"extensions: {{file_storage: {{directory: '{folder}'{yaml and ', '}{yaml}}}}}")
    return FileStorage(config, Context("file_storage", Kind.EXTENSION))


@asynccontextmanager
async def client(folder: Path, yaml: str = "", id: str = "file_log/eu", name: str = ""):
    """The store of a receiver."""
    async with storage(folder, yaml) as made, made.client(Context(id, Kind.RECEIVER), name) as opened:
        yield opened


async def test_values_are_there_after_a_restart(tmp_path: Path) -> None:
    """What was set is found again, what was deleted is not, and a batch does both."""
    async with client(tmp_path) as store:
        await store.set("a", b"1")
        await store.set("b", b"\x00" * 100_000)
        await store.batch({"a": b"2", "b": None, "c": b""})
        await store.delete("nothing")
    async with client(tmp_path) as store:
        assert await store.items() == {"a": b"2", "c": b""}
        assert (await store.get("a"), await store.get("b")) == (b"2", None)


async def test_each_component_has_its_own_store(tmp_path: Path) -> None:
    """Its file has the component's name, in which unsafe characters are written as digits."""
    async with client(tmp_path, id="file_log/a b/..ä", name="x") as store, client(tmp_path) as other:
        await store.set("a", b"1")
        assert await other.get("a") is None
    names = set(os.listdir(tmp_path))  # noqa: PTH208 - names are what is asked for
    assert {"receiver_file_log_a~0020b~002F..~00E4_x", "receiver_file_log_eu"} <= names


async def test_only_its_owner_reads_a_store(tmp_path: Path) -> None:
    """With all its files."""
    async with client(tmp_path) as store:
        await store.set("a", b"1")
        modes = {os.stat(tmp_path / name).st_mode & 0o777 for name in os.listdir(tmp_path)}  # noqa: PTH116, PTH208
    assert modes == {0o600}


async def test_a_store_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "receiver_file_log_eu").mkdir()
    with pytest.raises(StartError, match=r"cannot open .*receiver_file_log_eu: Is a directory"):
        async with client(tmp_path):
            pass


WRITER = """
import asyncio, sys
from pathlib import Path
from sluiceway.extensions.file_storage.database import Database
async def main():
    store = Database(Path(sys.argv[1]), timeout=1, fsync=True)
    await store.open()
    number = 0
    while True:
        await store.batch({"number": str(number).encode(), "again": str(number).encode()})
        print(number, flush=True)
        number += 1
asyncio.run(main())
"""


async def test_what_was_confirmed_survives_a_kill(tmp_path: Path) -> None:
    """A process is killed while it writes: the last value that it was told is kept is there, or the next one."""
    path = tmp_path / "receiver_file_log_eu"
    for _ in range(3):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, path, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        lines = [await process.stdout.readline() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        told = int(b"".join([*lines, await process.stdout.read()]).split()[-1])
        await process.wait()
        async with client(tmp_path) as store:
            kept = await store.items()
        assert kept["number"] == kept["again"]
        assert int(kept["number"]) in (told, told + 1)


async def test_a_store_belongs_to_one_process(tmp_path: Path) -> None:
    """A second one is told at start, after `timeout`."""
    async with client(tmp_path):
        with pytest.raises(StartError, match="receiver_file_log_eu is in use by another process"):
            async with client(tmp_path, "timeout: 100ms"):
                pass


async def damage(folder: Path) -> None:
    """Fill a store and overwrite the middle of its file."""
    async with client(folder) as store:
        await store.batch({f"key {number}": os.urandom(500) for number in range(200)})
    with (folder / "receiver_file_log_eu").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 8))


@pytest.mark.parametrize("how", ["middle", "head", "text"])
async def test_a_damaged_file_is_said_and_moved_aside_if_asked(tmp_path: Path, how) -> None:
    """The error names the file and the way on; with `recreate` the component begins anew and the file is kept."""
    path = tmp_path / "receiver_file_log_eu"
    await damage(tmp_path)
    if how == "head":
        with path.open("r+b") as file:
            file.write(os.urandom(100))
    elif how == "text":
        path.write_text("hello")
    with pytest.raises(StartError, match=r"receiver_file_log_eu is damaged .*: move it away, or set recreate"):
        async with client(tmp_path):
            pass
    async with client(tmp_path, "recreate: true") as store:
        assert await store.items() == {}
        await store.set("a", b"1")
    assert any(".damaged." in name for name in os.listdir(tmp_path))  # noqa: PTH208 - as above
    async with client(tmp_path) as store:
        assert await store.get("a") == b"1"


async def test_a_full_disk_is_said_and_nothing_is_half_done(tmp_path: Path) -> None:
    """The change is refused as a whole, what was there stays, and later changes work again."""
    async with client(tmp_path) as store:
        await store.set("a", b"1")
        connection = store._connection
        connection.execute("PRAGMA max_page_count = 10")
        with pytest.raises(OSError, match="the storage extension has run out of available space"):
            await store.batch({"a": b"2", "b": b"x" * 100_000})
        assert await store.items() == {"a": b"1"}
        connection.execute("PRAGMA max_page_count = 1000")
        await store.set("a", b"3")
        assert await store.get("a") == b"3"


async def test_a_change_that_fails_half_way_is_none(tmp_path: Path) -> None:
    """What stood in front of the failure is taken back, and the store works on."""
    async with client(tmp_path) as store:
        await store.set("a", b"1")
        with pytest.raises(OSError, match="receiver_file_log_eu"):
            await store.batch({"a": b"2", "b": object()})
        assert await store.items() == {"a": b"1"}
        await store.set("a", b"3")
        assert await store.items() == {"a": b"3"}


@pytest.mark.parametrize(("yaml", "expected"), [("", 2), ("fsync: false", 1)])
async def test_changes_wait_for_the_disk(tmp_path: Path, yaml, expected) -> None:
    """They do by default, and SQLite is told so (FULL is 2, NORMAL is 1)."""
    async with client(tmp_path, yaml) as store:
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (expected,)
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_file_gives_back_what_it_does_not_need(tmp_path: Path) -> None:
    """It becomes smaller when values are deleted."""
    async with client(tmp_path) as store:
        await store.set("a", b"x" * 1_000_000)
    full = (tmp_path / "receiver_file_log_eu").stat().st_size
    async with client(tmp_path) as store:
        await store.delete("a")
    assert (tmp_path / "receiver_file_log_eu").stat().st_size < full / 10


async def test_a_directory_is_created_unless_it_must_be_there(tmp_path: Path) -> None:
    """With the permissions that were asked for."""
    with pytest.raises(StartError, match="directory must exist"):
        async with storage(tmp_path / "a", "create_directory: false"):
            pass
    async with storage(tmp_path / "b" / "c", 'directory_permissions: "0700"'):
        pass
    assert (tmp_path / "b" / "c").stat().st_mode & 0o777 == 0o700


def test_permissions_are_octal_digits() -> None:
    """Anything else is refused when the configuration is loaded."""
    with pytest.raises(ConfigError, match="are no permissions"):
        storage(Path("a"), 'directory_permissions: "0999"')


@pytest.mark.parametrize(("id", "text"), [
    ("nothing", 'storage extension "nothing" not found'), ("health_check", '"health_check" is no storage extension'),
])  # fmt: skip
def test_a_storage_that_is_none_is_found_at_load(id, text) -> None:
    """The error names the key and the extension."""
    with pytest.raises(ConfigError, match=text):
        Collector.from_yaml(
            f"""
            extensions: {{health_check: {{endpoint: "127.0.0.1:0"}}}}
            receivers: {{file_log: {{include: [/nowhere/*], storage: {id}}}}}
            exporters: {{debug: {{}}}}
            service: {{extensions: [health_check], pipelines: {{logs: {{receivers: [file_log], exporters: [debug]}}}}}}
            """
        )


def test_a_client_is_what_the_contract_says() -> None:
    """Every method of the protocol is there."""
    from sluiceway.extensions.file_storage.database import Database

    assert {name for name in vars(StorageClient) if not name.startswith("_")} <= set(vars(Database))


async def test_a_call_that_was_cancelled_is_carried_out_all_the_same(tmp_path: Path) -> None:
    """Also while it waits behind another one: whoever is stopped has what it wanted to be remembered kept."""
    path = tmp_path / "receiver_file_log_eu"
    store = Database(path, timeout=1, fsync=False)
    await store.open()
    begun, go_on = threading.Event(), threading.Event()
    first = asyncio.ensure_future(store._run(lambda: (begun.set(), go_on.wait(10))))
    await asyncio.to_thread(begun.wait)
    second = asyncio.ensure_future(store.set("key", b"value"))
    await asyncio.sleep(0)
    second.cancel()
    go_on.set()
    await first
    assert await store.get("key") == b"value"
    await store.close()


async def test_a_queue_that_no_exporter_has_is_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By the log and in health, with what shows more."""
    log = Log(tmp_path / "exporter_gone_traces.queue")
    log.open()
    log.append([Record(b"", 1, (("traces", 1),), 1)])
    log.close()
    text = "no exporter has what waits in exporter_gone_traces.queue: see `sluiceway queue list`"
    reports: list[tuple[Status, str]] = []
    context = Context(
        "file_storage", Kind.EXTENSION, report=lambda status, message="": reports.append((status, message))
    )
    made = FileStorage(FileStorageConfig(directory=str(tmp_path)), context)
    async with made:
        assert reports == [(Status.OK, text)]
        assert text in caplog.text
    reports.clear()
    made.log(Context("gone", Kind.EXPORTER), "traces.queue")
    async with made:
        assert reports == []
