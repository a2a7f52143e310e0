"""Configuration from web servers, real ones over loopback."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from sluiceway.config import download as module
from sluiceway.config.download import download, shown
from sluiceway.config.expand import MAX_DOWNLOADS, Expansion
from sluiceway.config.load import load
from sluiceway.config.parse import MAX_BYTES, parse
from sluiceway.config.sources import read_source
from sluiceway.config.tree import plain
from sluiceway.errors import ConfigError, Problem

CONFIG = b"""
receivers: {otlp: {protocols: {grpc: }}}
exporters: {debug: {verbosty: basic}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}
"""
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """A web server that keeps the requests it was sent."""

    def __init__(self, answer: Answer) -> None:
        requests = self.requests = list[tuple[str, str | None]]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append((self.path, self.headers["Authorization"]))
                answer(self)

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def host(self) -> str:
        """Host and port."""
        return f"localhost:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Be quiet about clients that hang up."""


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve for a while, over TLS where a context is given."""
    with Server(answer) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def text(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Answer with a body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def failure(uri: str, timeout: float = 5.0) -> str:
    """Why a download failed."""
    with pytest.raises(ConfigError) as caught:
        download(uri, timeout)
    return str(caught.value)


def test_a_whole_source() -> None:
    """A mistake in a file from a web server is reported at the URI, with line and column."""
    with serving(text(CONFIG)) as server, pytest.raises(ConfigError) as caught:
        load([f"http://user:hunter2@{server.host}/a.yaml?token=hunter3"])
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (f"http://{server.host}/a.yaml", 3)
    assert server.requests == [("/a.yaml?token=hunter3", "Basic dXNlcjpodW50ZXIy")]
    assert "hunter" not in str(problem)


def test_a_value() -> None:
    """A reference takes the type of what is fetched, which is asked for once however often it is named."""
    problems: list[Problem] = []
    with serving(text(b"{x: 5}\n")) as server:
        node = parse(f"{{a: '${{http://{server.host}/x}}', b: '${{http://{server.host}/x}}'}}")
        assert plain(Expansion({}, problems).expand(node)) == {"a": {"x": 5}, "b": {"x": 5}}
    assert (len(server.requests), problems) == (1, [])


def test_references_are_bounded() -> None:
    """A configuration fetches so many things and no more, and does not wait twice for the same."""
    problems: list[Problem] = []
    with serving(text(b"", 500)) as server:
        uris = [f"http://{server.host}/{number % (MAX_DOWNLOADS + 1)}" for number in range(2 * MAX_DOWNLOADS)]
        Expansion({}, problems).expand(parse(str([f"${{{uri}}}" for uri in uris])))
    assert len(server.requests) == MAX_DOWNLOADS
    assert len(problems) == 2 * MAX_DOWNLOADS
    assert problems[MAX_DOWNLOADS].message == f"more than {MAX_DOWNLOADS} references to fetch"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (text(b"", 404), "the answer was 404"),
        (text(b"", 204), "the answer was 204"),
        (text(b"", 302, Location="/"), "it redirects in a circle or elsewhere"),
        (text(b"", 302, Location="file:///etc/passwd"), "it redirects in a circle or elsewhere"),
        (text(b"", 302, Location="ftp://h/a"), "it redirects to another scheme, ftp"),
        (text(b"", 302, Location="https://h/a"), "it redirects to another scheme, https"),
        (text(b"a: 1", **{"Content-Length": "100"}), "the answer was cut off"),
    ],
)
def test_unusable_answers(answer: Answer, reason: str) -> None:
    """Nothing but a whole answer of 200 is taken, and the text names the URI without its secrets."""
    with serving(answer) as server:
        assert failure(f"http://u:hunter2@{server.host}/?hunter2") == f"unable to fetch http://{server.host}/: {reason}"


def test_redirects_of_one_scheme_are_followed_without_the_password() -> None:
    """The password is for the host that it was given for."""
    with serving(text(b"a: 1")) as other:
        location = f"http://127.0.0.1:{other.server_port}/b"
        with serving(text(b"", 307, Location=location)) as server:
            assert plain(read_source(f"http://u:p@{server.host}/", {})) == {"a": 1}
    assert other.requests == [("/b", None)]


def test_size_is_bounded() -> None:
    """A large answer is refused as a large file is, and an endless one is not read to its end."""

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b" " * 65536)

    with serving(endless) as server, pytest.raises(ConfigError) as caught:
        read_source(f"http://{server.host}/a", {})
    assert str(caught.value) == f"http://{server.host}/a: larger than {MAX_BYTES} bytes"


def test_time_is_bounded_as_a_whole() -> None:
    """A server that sends a byte now and then cannot hold the loading up."""
    over = threading.Event()

    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not over.wait(0.05):
            handler.wfile.write(b" ")

    with serving(dripping) as server:
        assert failure(f"http://{server.host}/", 0.3) == f"unable to fetch http://{server.host}/: no answer in 0.3 s"
        over.set()


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS the server must have a certificate of an authority that the system trusts."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with serving(text(b"a: 1"), context) as server:
        assert "CERTIFICATE_VERIFY_FAILED" in failure(f"https://{server.host}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert download(f"https://{server.host}/") == b"a: 1"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://u:hunter2@[::1", "http:... is not a valid URL"),
        ("http://u:hunter2@/", "http:/// is not a valid URL"),
        ("http://u:hunter2@localhost:1/ x?hunter2", "unable to fetch http://localhost:1/ x: InvalidURL"),
    ],
)
def test_wrong_uris(uri: str, reason: str) -> None:
    """What is no URL is not asked for, and is not shown with its password."""
    assert failure(uri) == reason


def test_a_host_that_is_away() -> None:
    """A connection that is refused says so."""
    with serving(text(b"")) as server:
        host = server.host
    assert failure(f"http://{host}/") == f"unable to fetch http://{host}/: Connection refused"


def test_what_is_shown() -> None:
    """Scheme, host, port and path."""
    assert shown("https://u:p@h:1/a/b?c=d#e") == "https://h:1/a/b"
    assert module.TIMEOUT == 10.0
