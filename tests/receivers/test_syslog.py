"""The receiver with real senders, util-linux's logger and rsyslog, over UDP, TCP and TLS."""

import asyncio
import socket
from pathlib import Path

import pytest
import trustme

from sluiceway.component import Context, Kind, Reason
from sluiceway.errors import ConfigError, RefusedError
from sluiceway.receivers.syslog import COMPONENT, SyslogReceiver
from sluiceway.stanza.syslog.framing import Trailed
from sluiceway.testing import ManualClock, MemorySink, settings
from tests.receivers.records import attributes, bodies, records, until, value
from tests.servers import program

TCP = 'tcp: {listen_address: "127.0.0.1:0"}, protocol: rfc5424'


def receiver(yaml, sink, drops=None, clock=None) -> SyslogReceiver:
    """A receiver in front of a sink; what it drops comes into `drops`."""
    config = settings(COMPONENT, f"receivers: {{syslog: {{{yaml}}}}}")
    lost = drops if drops is not None else []
    context = Context(
        "syslog", Kind.RECEIVER, drop=lambda items, reason, **_: lost.append((items, reason)),
        **({"clock": clock} if clock else {}),
    )  # fmt: skip
    return SyslogReceiver(config, context, sink)


async def connect(made: SyslogReceiver) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the receiver."""
    return await asyncio.open_connection(*made.address)


@pytest.mark.parametrize(("yaml", "options"), [
    (TCP, ["--tcp", "--rfc5424"]),
    (f"{TCP}, enable_octet_counting: true", ["--tcp", "--rfc5424", "--octet-count"]),
    ('udp: {listen_address: "127.0.0.1:0"}, protocol: rfc5424', ["--udp", "--rfc5424"]),
    ('udp: {listen_address: "127.0.0.1:0"}, protocol: rfc3164', ["--udp", "--rfc3164"]),
    ('tcp: {listen_address: "127.0.0.1:0"}, protocol: rfc3164', ["--tcp", "--rfc3164"]),
])  # fmt: skip
async def test_logger_is_understood(yaml, options) -> None:
    """What util-linux's logger sends arrives with its parts, over every transport and in both protocols."""
    sink = MemorySink()
    async with receiver(yaml, sink) as made:
        logger = str(program("logger", "bsdutils"))
        server = ["--server", "127.0.0.1", "--port", str(made.address[1])]
        process = await asyncio.create_subprocess_exec(
            logger, *server, *options, "--tag", "app", "--id=42", "--priority", "auth.err", "hello, world"
        )
        assert await process.wait() == 0
        await until(lambda: sink.items)
    (record,) = records(sink.batches)
    found = attributes(record)
    assert (found["appname"], found["proc_id"], found["message"]) == ("app", "42", "hello, world")
    assert (found["facility"], record.severity_number, record.severity_text) == (4, 17, "err")
    assert abs(record.time_unix_nano - record.observed_time_unix_nano) < 10**10
    assert value(record.body).endswith("hello, world")


async def test_rsyslog_sends_over_tls(tmp_path: Path) -> None:
    """A real rsyslogd forwards over TLS, and all its messages arrive once, in their order, in few batches."""
    rsyslogd = str(program("rsyslogd", "rsyslog", "/usr/sbin/rsyslogd"))
    authority, folder = trustme.CA(), tmp_path
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    sink = MemorySink()
    tls = f"tls: {{cert_file: {folder}/server.pem, key_file: {folder}/server.pem}}"
    yaml = f'tcp: {{listen_address: "127.0.0.1:0", {tls}}}, protocol: rfc5424, enable_octet_counting: true'
    async with receiver(yaml, sink) as made:
        (folder / "rsyslog.conf").write_text(f"""
            global(DefaultNetstreamDriverCAFile="{folder}/ca.pem" workDirectory="{folder}")
            module(load="imfile" mode="polling" PollingInterval="1")
            input(type="imfile" File="{folder}/lines" Tag="app")
            action(type="omfwd" target="127.0.0.1" port="{made.address[1]}" protocol="tcp" TCP_Framing="octet-counted"
              StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name"
              StreamDriverPermittedPeers="localhost"
              template="RSYSLOG_SyslogProtocol23Format")
        """)
        (folder / "lines").write_text("".join(f"line {number}\n" for number in range(5000)))
        process = await asyncio.create_subprocess_exec(
            rsyslogd, "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")
        )
        try:
            await until(lambda: sink.items >= 5000)
        finally:
            process.terminate()
            await process.wait()
    messages = [attributes(record)["message"].strip() for record in records(sink.batches)]
    assert [text for text in messages if text.startswith("line ")] == [f"line {number}" for number in range(5000)]
    assert len(sink.batches) < 2500


async def test_what_arrives_during_a_delivery_is_the_next_batch() -> None:
    """Lines that wait go together: no batch is made for each."""
    sink = MemorySink()
    sink.gate = asyncio.Event()
    async with receiver(TCP, sink) as made:
        _, writer = await connect(made)
        writer.write(b"<1>1 - - - - - - first\n")
        await until(lambda: sink.calls)
        for number in range(100):
            writer.write(b"<1>1 - - - - - - %d\n" % number)
            await asyncio.sleep(0)
        await writer.drain()
        await asyncio.sleep(0.05)
        sink.gate.set()
        await until(lambda: sink.items == 101)
        writer.close()
    assert [batch.items for batch in sink.batches] == [1, 100]


async def test_a_refused_line_is_kept_and_sent_again() -> None:
    """While the pipeline refuses nothing is lost, and what was refused comes once."""
    sink, clock = MemorySink(), ManualClock()
    sink.error = RefusedError("full")
    async with receiver(TCP, sink, clock=clock) as made:
        _, writer = await connect(made)
        writer.write(b"<1>1 - - - - - - one\n")
        await until(lambda: sink.calls)
        sink.error = None
        await clock.advance(1)
        await until(lambda: sink.items)
        writer.close()
    assert bodies(sink.batches) == ["<1>1 - - - - - - one"]


async def test_a_sender_waits_while_the_pipeline_does_not_take() -> None:
    """Nothing more is read than there is room for: TCP holds the sender up, and memory stays bounded."""
    sink = MemorySink()
    sink.gate = asyncio.Event()
    line = b"<1>1 - - - - - - " + b"x" * 1000 + b"\n"
    async with receiver(TCP, sink) as made:
        _, writer = await connect(made)
        sent = 0
        try:
            async with asyncio.timeout(20):
                while True:
                    writer.write(line * 1000)
                    sent += 1000
                    async with asyncio.timeout(1):
                        await writer.drain()
        except TimeoutError:
            pass
        assert 10_000 < sent < 60_000
        sink.gate.set()
        await until(lambda: sink.items == sent)
        writer.close()


async def test_packets_that_find_no_room_are_dropped_and_counted() -> None:
    """UDP cannot wait; everything that reached us is either delivered or counted."""
    sink, drops = MemorySink(), []
    sink.gate = asyncio.Event()
    yaml = 'udp: {listen_address: "127.0.0.1:0", async: {max_queue_length: 10}}, protocol: rfc5424'
    async with receiver(yaml, sink, drops) as made:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(50):
                sender.sendto(b"<1>1 - - - - - - %d\n" % number, made.address)
        await until(lambda: sum(items for items, _ in drops) == 40)
        sink.gate.set()
        await until(lambda: sink.items == 10)
    assert {reason for _, reason in drops} == {Reason.QUEUE_FULL}


async def test_what_cannot_be_delivered_at_the_end_is_counted() -> None:
    """Stopping waits a few seconds for the pipeline and then drops what is left, with its reason."""
    sink, drops, clock = MemorySink(), [], ManualClock()
    sink.error = RefusedError("full")
    made = receiver(TCP, sink, drops, clock)
    async with made:
        _, writer = await connect(made)
        writer.write(b"<1>1 - - - - - - one\n<1>1 - - - - - - two\n")
        await until(lambda: sink.calls)
        stopping = asyncio.create_task(clock_until(clock, lambda: bool(drops)))
    await stopping
    writer.close()
    assert drops == [(2, Reason.SHUTDOWN)]


async def test_what_was_read_is_accounted_for_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what waited for room, and the message that had no end yet."""
    sink, drops, clock, read = MemorySink(), [], ManualClock(), []
    feed = Trailed.feed
    monkeypatch.setattr(Trailed, "feed", lambda self, data: read.append(found := feed(self, data)) or found)
    sink.error = RefusedError("full")
    made = receiver(TCP, sink, drops, clock)
    async with made:
        _, writer = await connect(made)
        writer.write(b"<1>1 - - - - - - x\n" * 20_000)
        await until(lambda: sum(map(len, read)) > 10_000)
        _, other = await connect(made)
        other.write(b"<1>1 - - - - - - y\n<1>1 - - - - - - half")
        await until(lambda: [b"<1>1 - - - - - - y"] in read)
        stopping = asyncio.create_task(clock_until(clock, lambda: bool(drops)))
    await stopping
    assert drops == [(sum(map(len, read)) + 2, Reason.SHUTDOWN)]  # and what each of the two had begun
    for each in (writer, other):
        each.close()


async def clock_until(clock: ManualClock, holds) -> None:
    """Move the clock until something holds."""
    while not holds():
        await clock.advance(1)
        await asyncio.sleep(0.01)


async def test_a_new_connection_displaces_the_idlest_of_the_peer_with_most() -> None:
    """Connections are bounded, and an idle one is not worth more than a new one."""
    sink, clock = MemorySink(), ManualClock()
    yaml = 'tcp: {listen_address: "127.0.0.1:0", max_connections: 2}, protocol: rfc5424'
    async with receiver(yaml, sink, clock=clock) as made:
        idle, first = await connect(made)
        await clock.advance(1)
        _, second = await connect(made)
        await clock.advance(1)
        _, third = await connect(made)
        assert await asyncio.wait_for(idle.read(), 10) == b""
        for number, writer in enumerate((second, third)):
            writer.write(b"<1>1 - - - - - - %d\n" % number)
        await until(lambda: sink.items == 2)
        for writer in (first, second, third):
            writer.close()


@pytest.mark.parametrize(("on_error", "items", "drops"), [("send", 1, []), ("drop", 0, [(1, Reason.REJECTED)])])
async def test_on_error_says_what_becomes_of_what_is_no_message(on_error, items, drops, caplog) -> None:
    """It is sent as it came, or dropped and counted; and it is logged once."""
    sink, lost = MemorySink(), []
    async with receiver(f"{TCP}, on_error: {on_error}", sink, lost) as made:
        _, writer = await connect(made)
        writer.write(b"hello\n<1>1 - - - - - -\n")
        await until(lambda: sink.items == items + 1)
        writer.close()
    assert bodies(sink.batches) == ["hello", "<1>1 - - - - - -"][1 - items :]
    assert lost == drops
    assert len([r for r in caplog.records if "no rfc5424" in r.getMessage()]) == 1


async def test_attributes_tell_the_peer() -> None:
    """`add_attributes` tells the addresses of both ends, and static ones are added."""
    sink = MemorySink()
    yaml = 'tcp: {listen_address: "127.0.0.1:0", add_attributes: true}, protocol: rfc5424'
    yaml += ", attributes: {a: b}, resource: {c: d}"
    async with receiver(yaml, sink) as made:
        _, writer = await connect(made)
        writer.write(b"<1>1 - - - - - -\n")
        await until(lambda: sink.items)
        port = str(writer.get_extra_info("sockname")[1])
        writer.close()
    (record,) = records(sink.batches)
    found = attributes(record)
    assert (found["net.transport"], found["net.peer.ip"], found["net.peer.port"]) == ("IP.TCP", "127.0.0.1", port)
    assert (found["net.host.port"], found["a"]) == (str(made.address[1]), "b")
    assert attributes(sink.batches[0].proto().resource_logs[0].resource) == {"c": "d"}


@pytest.mark.parametrize(("yaml", "text"), [
    ("protocol: rfc5424", "exactly one of tcp and udp"),
    ('tcp: {listen_address: "a:1"}, udp: {listen_address: "a:1"}, protocol: rfc5424', "exactly one of tcp and udp"),
    ('tcp: {listen_address: "localhost:1"}', "protocol"),
    ('tcp: {listen_address: "localhost:1"}, protocol: rfc3164, enable_octet_counting: true', "only compatible with"),
    (f"{TCP}, enable_octet_counting: true, non_transparent_framing_trailer: LF", "only one of"),
    (f"{TCP}, location: Nowhere/Land", "failed to load location"),
    ('tcp: {listen_address: "localhost:1", encoding: klingon}, protocol: rfc5424', "unsupported encoding"),
    ('tcp: {listen_address: "localhost:1", encoding: utf-16}, protocol: rfc5424', "does not hold ASCII"),
])  # fmt: skip
def test_a_wrong_configuration_is_found_at_load(yaml, text) -> None:
    """The error says what is wrong."""
    with pytest.raises(ConfigError, match=text):
        settings(COMPONENT, f"receivers: {{syslog: {{{yaml}}}}}")


async def test_an_address_in_use_is_said_at_start() -> None:
    """The error names the receiver and the address."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"receivers::syslog: cannot listen on 127.0.0.1:{port}"):
            async with receiver(f'tcp: {{listen_address: "127.0.0.1:{port}"}}, protocol: rfc5424', MemorySink()):
                pass


@pytest.mark.parametrize(("data", "items"), [
    (b"21 <34>1 - - - - - - one21 <34>1 - - - - - - twogarbage", 2), (b"500 <34>1 - - - - - - cut", 0),
])  # fmt: skip
async def test_what_cannot_be_followed_costs_itself_and_is_counted(data: bytes, items: int) -> None:
    """Messages in front of it arrive."""
    sink, drops = MemorySink(), []
    async with receiver(f"{TCP}, enable_octet_counting: true", sink, drops) as made:
        reader, writer = await connect(made)
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await until(lambda: drops and sink.items == items)
    assert (sink.items, drops) == (items, [(1, Reason.REJECTED)])
