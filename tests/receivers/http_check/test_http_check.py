"""The receiver against a real application."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Any

import pytest

from sluiceway.component import Kind, Status
from sluiceway.errors import ConfigError
from sluiceway.receivers.http_check import COMPONENT
from sluiceway.registry import find
from sluiceway.testing import check_metrics
from tests.ports import free_port
from tests.receivers.http_check.bench import Bench, counts, errors, measured, settings, status, value
from tests.receivers.http_check.raw import saying, serving

DEFAULT = {"httpcheck.status", "httpcheck.duration"}


def test_the_old_name() -> None:
    """`httpcheck` is the same receiver."""
    assert find(Kind.RECEIVER, "httpcheck") is COMPONENT


async def test_what_is_on_by_default(web: str) -> None:
    """As in the Collector."""
    async with Bench(f"{{endpoint: '{web}/items/1'}}", metrics="{}") as bench:
        assert set(await bench.measure()) == DEFAULT
    async with Bench(f"{{endpoint: 'http://127.0.0.1:{free_port()}'}}", metrics="{}") as bench:
        assert set(await bench.measure()) == DEFAULT | {"httpcheck.error"}


async def test_every_metric_is_declared_and_emitted(web: str, nginx: int) -> None:
    """With the units and attributes of its declaration."""
    targets = (
        f"{{endpoint: 'https://localhost:{nginx}', tls: {{insecure_skip_verify: true}}, validations: [{{regex: n}}]}}",
        f"{{endpoint: '{web}/graphql', graphql: {{query: '{{broken}}', operation_name: X}}, name: a}}",
    )
    async with Bench(*targets) as bench:
        await bench.measure()
    assert check_metrics(COMPONENT, bench.sink.batches) == set()


@pytest.mark.parametrize("code", [200, 204, 304, 404, 503])
async def test_the_status(web: str, code: int) -> None:
    """One of five points is 1 and has the code, the others are 0 and have none, as in the Collector."""
    found = await measured(f"{{endpoint: '{web}/status/{code}'}}")
    assert status(found) == (code, f"{code // 100}xx")
    others = [point["attributes"] for point in found["httpcheck.status"] if not point["value"]]
    assert all("http.status_code" not in attributes for attributes in others)
    assert {attributes["http.method"] for attributes in others} == {"GET"}
    assert errors(found) == []


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        ("http://nowhere.invalid", "dns: name not found"),
        ("http://127.0.0.1:PORT", "connect: connection refused"),
        ("http://localhost:PORT", "connect: connection refused"),
    ],
)
async def test_no_connection(endpoint: str, text: str) -> None:
    """The text is the same for every server, and the status points are 0."""
    found = await measured(f"{{endpoint: '{endpoint.replace('PORT', str(free_port()))}'}}")
    assert errors(found) == [text]
    assert status(found) == (0, "")
    (point,) = found["httpcheck.error"]
    assert (point["value"], set(point["attributes"])) == (1, {"http.url", "error.message"})


async def test_addresses_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """An IPv6 address stands in brackets, and a name with two addresses is reached by the one that answers."""
    ask = socket.getaddrinfo

    def both(host: str, port: int, **more: Any) -> list[Any]:
        names = ("127.0.0.1", "::1") if host == "two.example" else (host,)
        return [entry for name in names for entry in ask(name, port, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), host="::1") as port:
        for host in ("[::1]", "two.example"):
            found = await measured(f"{{endpoint: 'http://{host}:{port}/'}}")
            assert (status(found), errors(found)) == ((200, "2xx"), [])


async def test_methods_and_endpoints(web: str) -> None:
    """Each pair is a check of its own, and its points are told apart by the method."""
    found = await measured(f"{{endpoint: '{web}/echo', endpoints: ['{web}/items/1'], methods: [GET, head]}}")
    checks = {tuple(point["attributes"].values()) for point in found["httpcheck.duration"]}
    assert checks == {(f"{web}/{path}", verb) for path in ("echo", "items/1") for verb in ("GET", "HEAD")}
    sizes = {tuple(point["attributes"].values()): point["value"] for point in found["httpcheck.response.size"]}
    assert sizes[f"{web}/echo", "HEAD"] == 0
    assert sizes[f"{web}/items/1", "GET"] > 0


async def test_the_request(web: str) -> None:
    """Method, headers and body arrive; the type of the body is guessed only when that is asked for."""
    keys = "method: put, body: 'a=1', headers: {X-Key: v, Host: other.example}"
    heard = {"method": "PUT", "body": "a=1", "headers.x-key": "v", "headers.host": "other.example"}
    expected = ", ".join(f"{{json_path: {path}, equals: '{text}'}}" for path, text in heard.items())
    found = await measured(
        f"{{endpoint: '{web}/echo', {keys}, validations: [{expected}, {{not_contains: content-type}}]}}"
    )
    assert counts(found, "passed") == {"json_path": 4, "contains": 1}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"a": 1}', "application/json"),
        ("a=1&b=2", "application/x-www-form-urlencoded"),
        ("<a/>", "application/xml"),
        ("hello there", "text/plain"),
    ],
)
async def test_the_guessed_type(web: str, body: str, kind: str) -> None:
    """It is that of the body, unless a header says otherwise."""
    keys = f"endpoint: '{web}/echo', method: POST, body: '{body}', auto_content_type: true"
    for expected, more in ((kind, ""), ("mine/own", ", headers: {Content-Type: mine/own}")):
        validation = f"validations: [{{json_path: headers.content-type, equals: {expected}}}]"
        assert counts(await measured(f"{{{keys}, {validation}{more}}}"), "passed") == {"json_path": 1}


async def test_compression(web: str) -> None:
    """The body is compressed as the client's settings say."""
    found = await measured(
        f"{{endpoint: '{web}/echo', method: POST, body: abcabcabc, compression: gzip, "
        "validations: [{json_path: headers.content-encoding, equals: gzip}, {not_contains: abcabc}]}"
    )
    assert counts(found, "passed") == {"json_path": 1, "contains": 1}


async def test_a_user_in_the_url(web: str) -> None:
    """It proves itself, and no attribute shows the password."""
    url = web.replace("http://", "http://me:secret@")
    found = await measured(f"{{endpoint: '{url}/echo', validations: [{{contains: 'Basic bWU6c2VjcmV0'}}]}}")
    assert counts(found, "passed") == {"contains": 1}
    assert {point["attributes"]["http.url"] for every in found.values() for point in every} == {f"{web}/echo"}


async def test_a_signature_in_the_url(web: str) -> None:
    """No attribute shows what gives access by itself."""
    found = await measured(f"{{endpoint: '{web}/echo?a=1&sig=secret'}}")
    urls = {point["attributes"]["http.url"] for every in found.values() for point in every}
    assert urls == {f"{web}/echo?a=1&sig=REDACTED"}


async def test_an_extension_proves_it(web: str) -> None:
    """Its headers are sent, and asked for anew each time."""

    class Proof:
        asked = 0

        def request_headers(self) -> dict[str, str]:
            self.asked += 1
            return {"Authorization": f"Bearer {self.asked}"}

    target = f"{{endpoint: '{web}/echo', auth: {{authenticator: proof}}, validations: [{{contains: Bearer 2}}]}}"
    async with Bench(target, extension={"proof": Proof()}.__getitem__) as bench:
        assert counts(await bench.measure(), "failed") == {"contains": 1}
        assert counts(await bench.measure(), "passed") == {"contains": 1}


async def test_a_proof_that_cannot_be_made(web: str) -> None:
    """The check has no points, which the status says, and the others are not touched."""

    class Proof:
        def request_headers(self) -> dict[str, str]:
            raise ValueError("no token")

    targets = (f"{{endpoint: '{web}/echo', auth: {{authenticator: proof}}}}", f"{{endpoint: '{web}/items/1'}}")
    async with Bench(*targets, extension={"proof": Proof()}.__getitem__) as bench:
        assert status(await bench.measure()) == (200, "2xx")
    assert bench.statuses[-1] == (Status.OK, f"incomplete: http_check: {web}/echo: ValueError: no token")


@pytest.mark.parametrize(
    ("validation", "kind", "holds"),
    [
        ("contains: number", "contains", True),
        ("contains: numbers", "contains", False),
        ("not_contains: number", "contains", False),
        ("not_contains: numbers", "contains", True),
        (r"regex: '\"number\":\s*\d\b'", "regex", True),
        ("regex: ^x", "regex", False),
        ("json_path: $.number, equals: 7", "json_path", True),
        ("json_path: number, equals: '7'", "json_path", True),
        ("json_path: number, equals: 8", "json_path", False),
        ("json_path: '$.tags[1]', equals: b", "json_path", True),
        ("json_path: tags.0, equals: a", "json_path", True),
        ("json_path: tags.#, equals: 2", "json_path", True),
        ("json_path: tags.2", "json_path", False),
        ("json_path: ok, equals: true", "json_path", True),
        ("json_path: ok, equals: 1", "json_path", False),
        ("json_path: price, equals: 1.5", "json_path", True),
        ("json_path: nothing", "json_path", True),
        ("json_path: number, equals: 123456789012345678901234567890", "json_path", False),
        ("equals: '{}'", "contains", False),
        ("json_path: missing", "json_path", False),
        ("min_size: 10, max_size: 1KiB", "size", True),
        ("max_size: 10", "size", False),
        ("min_size: 1MiB", "size", False),
    ],
)
async def test_validations(web: str, validation: str, kind: str, holds: bool) -> None:
    """Each counts as passed or failed under its type, and the other count is 0."""
    yaml = f"{{endpoint: '{web}/items/7', validations: [{{{validation}}}]}}".replace(r"\"", '"')
    found = await measured(yaml)
    assert (counts(found, "passed"), counts(found, "failed")) == ({kind: int(holds)}, {kind: int(not holds)})
    assert errors(found) == []


async def test_redirects(web: str) -> None:
    """They are followed as Go's client does; 303 becomes a GET without the body, 307 keeps both."""
    for code, method in ((302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")):
        target = (
            f"{{endpoint: '{web}/redirect?to=/echo&status={code}', method: POST, body: mine, headers: {{X-Key: v}}, "
        )
        expected = [f'"method":"{method}"', '"x-key":"v"', f'"body":"{"mine" if method == "POST" else ""}"']
        validations = ", ".join(f"{{contains: '{text}'}}" for text in expected)
        found = await measured(f"{target} validations: [{validations}]}}")
        assert counts(found, "passed") == {"contains": 3}
    found = await measured(f"{{endpoint: '{web}/redirect?to=/echo&status=302', max_redirects: 0}}")
    assert status(found) == (302, "3xx")


async def test_a_redirect_elsewhere_gets_no_secrets(web: str) -> None:
    """The configured headers stay with the server that they are for."""
    elsewhere = web.replace("127.0.0.1", "localhost")
    found = await measured(
        f"{{endpoint: '{elsewhere}/redirect?to={web}/echo&status=302', headers: {{X-Key: v, Authorization: s}}, "
        "validations: [{not_contains: x-key}, {not_contains: authorization}, {contains: user-agent}]}"
    )
    assert counts(found, "passed") == {"contains": 3}


@pytest.mark.parametrize(
    ("to", "text"), [("/loop", "stopped after 10 redirects"), ("ftp://a/", "the redirect leads nowhere")]
)
async def test_a_redirect_that_leads_nowhere(to: str, text: str) -> None:
    """The check fails."""
    answer = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
    async with serving(saying(answer)) as port:
        assert errors(await measured(f"{{endpoint: 'http://127.0.0.1:{port}'}}")) == [f"response: {text}"]


async def test_a_hundred_at_once() -> None:
    """They run side by side, and the slow one costs only itself."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(60 if head.startswith(b"GET /99 ") else 0.2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serving(handler) as port:
        urls = ", ".join(f"'http://localhost:{port}/{number}'" for number in range(100))
        began = time.perf_counter()
        found = await measured(f"{{endpoints: [{urls}], timeout: 2s}}")
        took = time.perf_counter() - began
    assert sum(point["value"] for point in found["httpcheck.status"]) == 99
    assert errors(found) == ["first byte: timed out"]
    assert 2.0 <= took < 5.0
    fast = sorted(point["value"] for point in found["httpcheck.duration"])[:-1]
    assert fast[-1] < 1900


async def test_no_more_at_once_than_allowed() -> None:
    """The others wait, which is not counted as theirs."""
    now, most = 0, 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        now -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serving(handler) as port:
        urls = ", ".join(f"'http://127.0.0.1:{port}/{number}'" for number in range(9))
        found = await measured(f"{{endpoints: [{urls}]}}", more="max_concurrent_checks: 3")
    assert most == 3
    assert max(point["value"] for point in found["httpcheck.duration"]) < 140


async def test_the_time_of_a_measurement_bounds_each_check(web: str) -> None:
    """So that a slow check does not have the others thrown away."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with serving(handler) as port:
        targets = (f"{{endpoint: 'http://127.0.0.1:{port}'}}", f"{{endpoint: '{web}/items/1'}}")
        found = await measured(*targets, more="timeout: 1s")
    assert errors(found) == ["first byte: timed out"]
    assert sum(point["value"] for point in found["httpcheck.status"]) == 1


async def test_twins_are_told(web: str, caplog: pytest.LogCaptureFixture) -> None:
    """Two checks whose points are alike are a warning, until they have names."""
    with caplog.at_level(logging.WARNING):
        await measured(f"{{endpoint: '{web}/items/1'}}", f"{{endpoint: '{web}/items/1'}}")
        assert "is checked 2 times in a way that cannot be told apart" in caplog.text
        caplog.clear()
        await measured(f"{{endpoint: '{web}/items/1', name: a}}", f"{{endpoint: '{web}/items/1', name: b}}")
        assert caplog.text == ""


async def test_a_failed_check_is_no_error_of_the_receiver() -> None:
    """It shows in the metrics, not in the status."""
    async with Bench("{endpoint: 'http://nowhere.invalid'}") as bench:
        assert value(await bench.measure(), "httpcheck.error") == 1
    assert bench.statuses == [(Status.OK, "")]


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("{}", "no targets configured"),
        ("{targets: []}", "no targets configured"),
        ("{targets: [{}]}", '"endpoint" must be specified'),
        ("{targets: [{endpoint: 'localhost:1'}]}", '"endpoint" must be in the form of <scheme>://<hostname>[:<port>]'),
        ("{targets: [{endpoint: 'http://a', method: 'GE T'}]}", "no method of a request"),
        ("{targets: [{endpoint: 'http://a', methods: [GET, get]}]}", "given twice"),
        ("{targets: [{endpoint: 'http://a', validations: [{}]}]}", "names nothing"),
        ("{targets: [{endpoint: 'http://a', validations: [{regex: '('}]}]}", "invalid pattern"),
        ("{targets: [{endpoint: 'http://a', validations: [{json_path: 'a[*]'}]}]}", "invalid JSON path"),
        ("{targets: [{endpoint: 'http://a', body: a, graphql: {query: a}}]}", "a body of its own"),
        ("{targets: [{endpoint: 'http://a', graphql: {query: a, operation_name: 'a b'}}]}", "no name of GraphQL"),
        ("{targets: [{endpoint: 'http://a', headers: {A: \"b\\r\\nc\"}}]}", "no header may have"),
    ],
)
def test_wrong_settings(yaml: str, text: str) -> None:
    """They are told when the file is loaded."""
    with pytest.raises(ConfigError) as caught:
        settings(yaml)
    assert text in str(caught.value)
