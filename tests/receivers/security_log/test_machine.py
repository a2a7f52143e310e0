"""The real thing: sshd, sudo, su and PAM, whose lines a real rsyslogd writes to a file and sends to us."""

from pathlib import Path

from sluiceway.receivers.security_log.mapping import Mapping
from sluiceway.service import Collector
from sluiceway.testing import points
from tests.receivers.records import bodies, until
from tests.receivers.security_log.schema import problems
from tests.servers.machine import play

CONFIG = """
receivers:
  security_log:
    presets: [sshd, sudo, pam]
    on_unmapped: drop
    collection_interval: 100ms
    initial_delay: 0s
    syslog:
      tcp: {listen_address: "127.0.0.1:0"}
      protocol: rfc5424
      enable_octet_counting: true
exporters:
  memory/logs: {component: sluiceway.testing:MemorySink}
  memory/metrics: {component: sluiceway.testing:MemorySink}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [security_log], exporters: [memory/logs]}
    metrics: {receivers: [security_log], exporters: [memory/metrics]}
"""


async def test_what_people_do_on_a_machine_becomes_events(tmp_path: Path) -> None:
    """Logins, failures and sudo are told as they happened, validly, and counted; nobody forges an address."""
    async with Collector.from_yaml(CONFIG) as collector:
        await play(tmp_path, collector.component("receiver", "security_log").syslog_address[1])
        sink = collector.component("exporter", "memory/logs")
        await until(lambda: len(tells(sink, 300201, 2)) >= 2 and len(tells(sink, 300207)) >= 5)
        found = bodies(sink.batches)
        metrics = collector.component("exporter", "memory/metrics")
        events = len(found)
        await until(lambda: _sum(metrics, "security.events") >= events)
    assert [problem for body in found for problem in problems(body)] == []
    logons = [(body["user"]["name"], body["src_endpoint"]["ip"], body["status"]) for body in tells(sink, 300201)]
    assert logons == [
        ("root", "127.0.0.1", "Success"),
        ("root", "127.0.0.1", "Failure"),
        ("root from 9.9.9.9 port 22 ssh2", "127.0.0.1", "Failure"),
    ]
    switched = [
        (body["actor"]["user"]["name"], body["user"]["name"], body["status"], body["severity"])
        for body in tells(sink, 300207)
    ]
    assert switched == [
        ("root", "root", "Success", "Informational"),
        ("daemon", "root", "Success", "Informational"),
        ("daemon", "root", "Failure", "Medium"),
        ("root", "unknown", "Success", "High"),  # the command reads like fields of sudo
        ("daemon", "root", "Failure", "Medium"),
    ]
    assert not any("\x1b" in str(body) for body in found)
    assert _sum(metrics, "security.events") == events
    assert _sum(metrics, "security.auth.failures") == 4


async def test_both_formats_of_a_file_tell_the_same(tmp_path: Path) -> None:
    """Times without a year and a zone are completed to those that rsyslogd writes in full."""
    folder = await play(tmp_path)
    mapping = Mapping(["sshd", "sudo", "pam"])
    now = int((folder / "auth.log").stat().st_mtime_ns)
    old, iso = (
        [mapping.line(line, now) for line in (folder / name).read_text().splitlines()]
        for name in ("auth.log", "iso.log")
    )
    assert len(old) == len(iso) > 30
    for short, full in zip(old, iso, strict=True):
        assert (short is None) is (full is None)
        if short and full:
            assert short[0].fields == full[0].fields
            assert short[0].time // 10**9 == full[0].time // 10**9


def tells(sink, type_uid, status=None):
    """The events of one type, in the order in which they came."""
    return [
        body for body in bodies(sink.batches) if body["type_uid"] == type_uid and status in (None, body["status_id"])
    ]


def _sum(sink, name):
    """The newest points of a metric, added up."""
    newest = points(sink.batches[-1:]).get(name, [])
    return sum(point["value"] for point in newest)
