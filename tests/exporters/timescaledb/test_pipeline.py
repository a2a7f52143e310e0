"""The exporter with everything around it: halving, the status, the queue."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
import trustme
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from pydantic import TypeAdapter
from yaml import safe_load

from sluiceway.component import Context, Kind, Status
from sluiceway.errors import RetryableError
from sluiceway.exporters.timescaledb import COMPONENT
from sluiceway.otlp import Batch, Signal
from sluiceway.pipelines.request import Request
from sluiceway.pipelines.wrap import wrap
from tests.exporters.backends import make
from tests.exporters.timescaledb.bench import Place, eventually, exporter, logs, yaml_of
from tests.exporters.timescaledb.proxy import Proxy
from tests.servers.postgresql import postgres_server


class Account:
    """What became of items."""

    def __init__(self) -> None:
        self.held = self.delivered = 0
        self.dropped: Counter[str] = Counter()

    def drop(self, items: int, reason: Any) -> None:
        """Count a loss."""
        self.dropped[str(reason)] += items


@asynccontextmanager
async def wrapped(place: Place, more: str = "", statuses: list | None = None, port: int = 0):
    """The exporter for logs, wrapped as the graph does it."""
    settings = TypeAdapter(COMPONENT.config).validate_python(safe_load(yaml_of(place, more, port=port)))
    found = statuses if statuses is not None else []
    context = Context(
        "timescaledb", Kind.EXPORTER, signals=frozenset({Signal.LOGS}), report=lambda *told: found.append(told)
    )
    async with asyncio.timeout(60), wrap(COMPONENT.create(settings, context), settings, context) as whole:
        yield whole


ENCRYPTED = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
WINDOW = "time_window: {before: 100000h}"


async def send(whole, batch: Batch) -> Account:
    """Put a batch into the queue."""
    account = Account()
    await whole.send(Request(batch, ((account, batch.items),)))
    return account


async def test_499_of_500_arrive_by_halving(place: Place) -> None:
    """What the server refuses stands alone at the end, is dropped with its reason, and the sums agree."""
    async with exporter(place) as out:
        await out.consume(logs(1))
    place.sql("ALTER TABLE otel_logs ADD CHECK (body IS DISTINCT FROM 'bad')", "DELETE FROM otel_logs")
    async with wrapped(place, WINDOW) as whole:
        account = await send(whole, logs(500, bad=LogRecord(body=AnyValue(string_value="bad")), received=2.0))
        await eventually(lambda: account.delivered + account.dropped.total() == 500, "the queue holds on")
    assert (account.delivered, dict(account.dropped)) == (499, {"permanent_error": 1})
    assert place.count() == 499


async def test_a_lost_acknowledgement_adds_nothing_through_the_queue(place: Place) -> None:
    """The parts around the exporter send again what they sent, cut to size, and each row is there once."""
    quick = "retry_on_failure: {initial_interval: 10ms}, sending_queue: {batch: {min_size: 0, max_size: 100}}"
    lost: list[int] = []
    async with Proxy(place.server.port).running() as proxy:
        proxy.on_request = lambda data: b"COMMIT\0" in data and len(lost) < 3 and lost.append(1) is None
        async with wrapped(place, f"{WINDOW}, {quick}", port=proxy.port) as whole:
            account = await send(whole, logs(500))
            await eventually(lambda: account.delivered == 500, "it is not delivered")
    assert len(lost) == 3
    assert place.count() == 500


async def test_the_status_says_what_to_do_and_heals(place: Place) -> None:
    """A missing column shows as an error with what mends it, which goes once that was carried out."""
    async with exporter(place) as out:
        await out.consume(logs(1))
    place.sql("ALTER TABLE otel_logs DROP COLUMN event_name")
    statuses: list[tuple[Status, str]] = []
    quick = "retry_on_failure: {initial_interval: 10ms, max_interval: 50ms}"
    async with wrapped(place, f"{WINDOW}, {quick}", statuses) as whole:
        account = await send(whole, logs(5, received=2.0))
        await eventually(lambda: statuses, "nothing is said")
        status, message = statuses[-1]
        assert status is Status.RECOVERABLE_ERROR
        assert "ADD COLUMN event_name text" in message
        place.sql("ALTER TABLE otel_logs ADD COLUMN event_name text")
        await eventually(lambda: account.delivered == 5, "it is not delivered")
        assert statuses[-1] == (Status.OK,)
    assert place.count() == 6


async def test_the_tables_are_made_before_data_come(place: Place) -> None:
    """The check at the start makes them, or says what is in the way."""
    missing = f"{place.database}_later"
    async with exporter(place, access={"database": missing}) as out:
        with pytest.raises(RetryableError) as caught:
            await out.check_backend()
        assert "create the database" in caught.value.advice
        place.sql(f"CREATE DATABASE {missing} OWNER otel")
        await out.check_backend()
    assert place.server.sql("SELECT to_regclass('otel_logs')", database=missing) == "otel_logs"


async def test_the_status_says_which_server_hangs(place: Place) -> None:
    """A server that takes connections and says nothing, as one that was stopped does."""
    statuses: list[tuple[Status, str]] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with wrapped(place, "timeout: 100ms", statuses, port) as whole:
            await send(whole, logs(1))
            await eventually(lambda: statuses, "nothing is said")
    assert statuses[0][0] is Status.RECOVERABLE_ERROR
    assert f"(no answer from 127.0.0.1:{port} within 100ms)" in statuses[0][1]


@pytest.mark.parametrize(("kind", "name", "what"), [
    ("TABLE", "otel_logs", "(time timestamptz, body int)"),
    ("VIEW", "otel_logs", "AS SELECT 1 AS body"),
    ("TABLE", "otel_schema_version", "(number int)"),
    ("VIEW", "otel_schema_version", "AS SELECT 1 AS version, now() AS at"),
    ("TABLE", "otel_batches", "(number int)"),
    ("VIEW", "otel_batches", "AS SELECT 1 AS number"),
])  # fmt: skip
async def test_what_somebody_else_made_is_named_and_left_alone(place: Place, kind: str, name: str, what: str) -> None:
    """A table or a view that was there before the first start, by a name that we want."""
    place.sql(f"CREATE {kind} {name} {what}")
    async with exporter(place) as out:
        with pytest.raises(RetryableError) as caught:
            await out.check_backend()
        assert caught.value.code == "FAILED_PRECONDITION"
        assert f'"{name}" is there and is not the table that this exporter makes: rename it' in caught.value.advice
        assert place.sql("SELECT to_regclass('otel_spans')") == ""
        place.sql(f"ALTER {kind} {name} RENAME TO theirs")
        await out.check_backend()
    assert place.sql("SELECT to_regclass('theirs')") == "theirs"


@pytest.mark.parametrize(("tls", "advice"), [("", "tls::insecure: true"), ("ca_file: '{ca}'", "tls::ca_file")])
async def test_tls_that_does_not_come_about_names_the_setting(place: Place, tls: str, advice: str) -> None:
    """A server without it, and one of another authority."""
    authority, stranger = trustme.CA(), trustme.CA()
    settings = "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n"
    with ExitStack() as stack:
        ca = stack.enter_context(stranger.cert_pem.tempfile())
        if tls:
            server = stack.enter_context(postgres_server(settings, tls=authority.issue_cert("127.0.0.1")))
            place = Place(server, "postgres")
        text = yaml_of(place).replace("tls: {insecure: true}", f"tls: {{{tls.format(ca=ca)}}}")
        async with make(COMPONENT, text, signals=frozenset({Signal.LOGS})) as out:
            with pytest.raises(RetryableError) as caught:
                await out.consume(logs(1))
    assert advice in caught.value.advice


@pytest.mark.parametrize("checked", [True, False])
async def test_tls_is_on_and_the_certificate_checked(checked: bool) -> None:
    """A server of another authority is not trusted, unless it is not to be checked."""
    authority = trustme.CA()
    settings = "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n"
    certificate, stranger = authority.issue_cert("127.0.0.1"), trustme.CA()
    with postgres_server(settings, tls=certificate) as server, stranger.cert_pem.tempfile() as ca:
        server.sql("CREATE ROLE otel LOGIN SUPERUSER PASSWORD 'secret'")
        place = Place(server, "postgres")
        tls = f"tls: {{ca_file: '{ca}'}}" if checked else "tls: {insecure_skip_verify: true}"
        text = yaml_of(place).replace("tls: {insecure: true}", tls)
        async with make(COMPONENT, text, signals=frozenset({Signal.LOGS})) as out:
            if checked:
                with pytest.raises(RetryableError, match="certificate verify failed"):
                    await out.consume(logs(1))
            else:
                await out.consume(logs(1))
                assert server.sql(f"{ENCRYPTED} WHERE application_name = 'sluiceway'") == "t"
