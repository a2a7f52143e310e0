"""Real servers' logs: PostgreSQL with pgaudit, nginx and Apache."""

import asyncio
import base64
import os
import signal
from pathlib import Path

import pytest

from sluiceway.receivers.security_log.mapping import Mapping
from tests.ports import free_port
from tests.receivers.records import until
from tests.receivers.security_log.schema import NOW, problems
from tests.servers import program
from tests.servers.audited import DEBIAN, audited


def events(path: Path, *presets: str) -> list[tuple[int, str, str, dict]]:
    """What a log tells: type, user, source and body of each event, all of which are valid."""
    mapping = Mapping(presets, hostname="here")
    found = [event for line in path.read_text().splitlines() if (event := mapping.line(line, NOW)) is not None]
    bodies = [(event.kind.constant["type_uid"], event.user, event.source, event.body()) for event, _ in found]
    assert [problem for *_, body in bodies for problem in problems(body)] == []
    return bodies


async def test_postgresql_tells_of_statements_and_logins_in_all_its_formats() -> None:
    """Reads, writes, definitions and roles by pgaudit; good and failed logins by PostgreSQL itself."""
    liar = "x@y LOG:  connection authorized: user=postgres database=postgres"
    async with audited() as server:
        await server.run("create table t (a int)")
        await server.run("insert into t values (1)")
        await server.run("select 'a, ERROR:  b', * from t")
        await server.run("drop table t")
        await server.run("create role bob login password 'right'")
        await server.run("select 1", user="bob", password="right")
        await server.run("select * from pg_authid", user="bob", password="right")
        await server.run("select 1", user="bob", password="wrong")
        await server.run("select 1", user=liar, password="x")
        await server.run("select 'the end'")
        names = ("log.json", "log.csv", "log")
        await until(lambda: all("disconnection" in (server.folder / n).read_text()[-700:] for n in names))
        logs = [events(server.folder / name, "pgaudit", "postgres") for name in names]
    for log in logs:
        audit = [(uid, body["query_info"]["query_string"].split()[0]) for uid, *_, body in log if "query_info" in body]
        assert audit[:5] == [
            (600506, "create"), (600505, "insert"), (600501, "select"), (600507, "drop"), (600506, "create"),
        ]  # fmt: skip
        logins = {(user, body["status"]) for uid, user, _, body in log if uid == 300201}
        assert {("postgres", "Success"), ("bob", "Success"), ("bob", "Failure")} <= logins
        assert {user for user, status in logins if status == "Success"} == {"postgres", "bob"}
        assert any(uid == 600504 and body["status"] == "Failure" for uid, _, _, body in log)
    for log in logs[:2]:
        assert {source for _, _, source, _ in log} == {"127.0.0.1"}
        assert (liar[:63], "Failure") in {(user, body["status"]) for uid, user, _, body in log if uid == 300201}


@pytest.mark.parametrize("prefix", [DEBIAN, "%m [%p] "])
async def test_postgresql_tells_who_was_not_let_in(prefix: str) -> None:
    """By the rules of pg_hba.conf, or with no such role: also where the text names nobody in front of the message.

    Who was let in and then asked for a database that is not there has logged in well.
    """
    async with audited(prefix) as server:
        await server.run("select 1", user="mallory")
        await server.run("select 1", user="evil", database="shop")
        await server.run("select 1", user='x", database "y', database="shop")
        await server.run("select 1", database="nodb")
        await server.run("select 'the end'")
        names = ("log.json", "log.csv", "log")
        await until(lambda: all("disconnection" in (server.folder / n).read_text()[-700:] for n in names))
        logs = [events(server.folder / name, "postgres") for name in names]
    for log, is_text in zip(logs, (False, False, True), strict=True):
        failures = [(uid, user, source) for uid, user, source, body in log if body["status"] == "Failure"]
        if not is_text:
            third = [(300201, 'x", database "y', "127.0.0.1")]
        else:  # a name with a space cannot be told from what surrounds it, and behind `user "` not from the database
            third = [] if prefix == DEBIAN else [(300201, "unknown", "127.0.0.1")]
        assert failures == [
            (300201, "mallory", "127.0.0.1"), (300201, "evil", "127.0.0.1"), *third,
            (600503, "" if is_text and prefix != DEBIAN else "postgres", "" if is_text else "127.0.0.1"),
        ]  # fmt: skip
        assert {body["unmapped"].get("database") for uid, user, _, body in log if user == "evil"} == {"shop"}
        assert [body["database"]["name"] for uid, *_, body in log if uid == 600503] == ["nodb"]


NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log {folder}/access.log combined;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} location /no {{ return 403; }} }}
}}
"""
APACHE = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {folder}/access.log combined
DocumentRoot {folder}
Redirect 403 /no
User www-data
Group www-data
"""
AGENT = b'a "quoted" \\ agent'
REQUESTS = [
    b"GET /x?a=1 HTTP/1.1\r\nHost: a\r\nReferer: http://r/\r\nConnection: close\r\nUser-Agent: " + AGENT + b"\r\n\r\n",
    b"POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"GET /y HTTP/1.1\r\nHost: a\r\nAuthorization: Basic "
    + base64.b64encode(b'x [01/Jan/2001:00:00:00 +0000] "GET /forged HTTP/1.1" 200 1:p')
    + b"\r\nConnection: close\r\n\r\n",
    b"\x16\x03\x01\x00\x1b[31m\r\n\r\n",
]


@pytest.mark.parametrize(("name", "package", "config", "call"), [
    ("nginx", "nginx-light", NGINX, ["-c", "{folder}/conf", "-e", "{folder}/error.log"]),
    ("apache2", "apache2-bin", APACHE, ["-D", "FOREGROUND", "-f", "{folder}/conf"]),
])  # fmt: skip
async def test_web_servers_tell_of_requests(tmp_path: Path, name, package, config, call) -> None:
    """Requests come as they were asked, whatever stands in them; nobody forges one."""
    server, port = str(program(name, package, f"/usr/sbin/{name}")), free_port()
    os.chmod(tmp_path, 0o755)  # noqa: PTH101 - the servers' workers are other users
    (tmp_path / "conf").write_text(config.format(folder=tmp_path, port=port))
    process = await asyncio.create_subprocess_exec(server, *(word.format(folder=tmp_path) for word in call))
    try:
        for request in REQUESTS:
            reader, writer = await _connect(port)
            writer.write(request)
            await reader.read()
            writer.close()
        log = tmp_path / "access.log"
        await until(lambda: log.exists() and log.read_text().count("\n") == len(REQUESTS))
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    first, second, third, last = events(log, "nginx" if name == "nginx" else "apache")
    assert [uid for uid, *_ in (first, second, third, last)] == [400203, 400206, 400203, 400200]
    asked = first[3]["http_request"]
    assert (asked["url"]["path"], asked["url"]["query_string"], asked["referrer"]) == ("/x", "a=1", "http://r/")
    assert "quoted" in asked["user_agent"]
    assert asked["user_agent"].endswith("agent")
    assert (second[3]["http_response"]["code"], second[3]["status"]) == (403, "Failure")
    assert (third[3]["http_request"]["url"]["path"], third[3]["time"] > 1_700_000_000_000) == ("/y", True)
    assert {source for _, _, source, _ in (first, second, third, last)} == {"127.0.0.1"}
    assert "\x1b" not in str(last)


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(20):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
