"""`sluiceway run`: the life of a process."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sluiceway.cli.main import main
from tests.cli.command import GOOD, sluice
from tests.ports import free_port

HOSTILE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # settings
    + b"\0\0\x0c\1\5\0\0\0\1" + b"\0\7:method\2no"  # a request with a method that there is not
    + b"\0\0\x08\6\0\0\0\0\0answered"  # a ping, which is answered when the request has been looked at
)  # fmt: skip


@pytest.mark.parametrize("command", [["run", "--drain-timeout=5s", "--watch"], []])
def test_the_life_of_a_process(tmp_path, command):
    """It starts, takes load from `generate`, drains on SIGTERM, prints a summary that balances, and exits 0."""
    port = free_port()
    file = tmp_path / "run.yaml"
    file.write_text(GOOD.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    with subprocess.Popen(
        [sys.executable, "-m", "sluiceway", *command, "--config", str(file)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert any("Everything is ready" in line for line in process.stderr)
        sent = sluice(
            "generate", "traces", "--endpoint", f"127.0.0.1:{port}", "--count", "1000", "--distinct=2", "--json"
        )
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(60) == 0
    assert (sent.returncode, json.loads(sent.stdout)["accepted"]) == (0, 1000)
    assert re.search(r"traces +debug +1,000 +0 +1,000 +0 +0\n", rest)
    assert rest.endswith("balances: accepted = delivered + dropped + held\n")


def test_stopping_ends_with_the_summary(tmp_path, capsys):
    """Within one process: what listens has started, and SIGTERM then ends the command in peace."""
    port = free_port()
    file = tmp_path / "run.yaml"
    file.write_text(GOOD.replace("127.0.0.1:0", f"127.0.0.1:{port}"))

    def terminate_once_it_listens():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(terminate_once_it_listens)
        assert main(["--config", f"file:{file}", "--watch"]) == 0
        waiting.result()
    assert capsys.readouterr().err.endswith("balances: accepted = delivered + dropped + held\n")


def test_a_port_that_is_taken(tmp_path):
    """A start that fails says why in one line, and exits 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = tmp_path / "run.yaml"
        file.write_text(GOOD.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        done = sluice("--config", str(file))
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("given", "problem"), [("long", "time: invalid duration"), ("-5s", "must not be negative")])
def test_a_drain_timeout_that_is_none(good, capsys, given, problem):
    """Durations of the command line have the Collector's syntax."""
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--config", good, f"--drain-timeout={given}"])
    assert f"argument --drain-timeout: {problem}" in capsys.readouterr().err


def test_a_hostile_peer_cannot_fill_the_log(tmp_path):
    """Lines of gRPC's own are off, and connections count towards the hard limit of open files."""
    port = free_port()
    file = tmp_path / "run.yaml"
    file.write_text(GOOD.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    shell = ["bash", "-c", 'ulimit -S -n 256; exec "$0" "$@"', sys.executable, "-m", "sluiceway", "run"]
    with subprocess.Popen([*shell, "--config", str(file)], stderr=subprocess.PIPE, text=True) as process:
        assert any("Everything is ready" in line for line in process.stderr)
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard > 256
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(HOSTILE)
            seen = b""
            while b"answered" not in seen:
                seen += peer.recv(4096)
        process.send_signal(signal.SIGTERM)
        assert "hpack" not in process.stderr.read()
