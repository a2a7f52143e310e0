"""`sluiceway generate`: its flags and its exit code."""

import json
import signal
import subprocess
import sys

import pytest

from sluiceway.cli.main import main
from tests.ports import free_port


def test_generate_reports_losses(capsys):
    """Nobody listens there, so everything is lost, and that is exit code 1."""
    port = free_port()
    flags = ["--endpoint", f"127.0.0.1:{port}", "--count=10", "--retry-for=10ms", "--distinct=1", "--header", "a=b"]
    assert main(["generate", "logs", *flags]) == 1
    out, err = capsys.readouterr()
    assert "failed              10" in out
    assert err == ("the first refusal: UNAVAILABLE, refused requests are sent again for 0.01 s\n10 items were lost\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_generate_reports_when_it_is_interrupted(number):
    """What was under way has failed, and the report adds up."""
    flags = ["--endpoint", f"127.0.0.1:{free_port()}", "--count=10", "--distinct=1", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "sluiceway", "generate", "logs", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr.readline().startswith("the first refusal: UNAVAILABLE, ")
        process.send_signal(number)
        report = json.loads(process.stdout.read())
        assert process.wait(30) == 130
    assert (report["sent"], report["failed"]) == (10, 10)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--duration=0s"], "--duration: must be above zero, unless --count is given"),
        (["--header=x"], "--header: missing equal sign"),
        (["--endpoint=nowhere"], '--endpoint: invalid endpoint "nowhere": expected host:port'),
        (["--endpoint=http://h:x", "--protocol=http"], "--endpoint: must be host:port or a URL"),
        (["--ca=/no/such/file"], "--ca: cannot read /no/such/file: No such file"),
    ],
)
def test_generate_checks_its_flags(flags, problem, capsys):
    """Values that cannot be are named, as wrong usage."""
    assert main(["generate", "logs", *flags]) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag",
    [
        "--count=-1",
        "--batch-size=0",
        "--batch-size=20001",
        "--rate=-1",
        "--rate=inf",
        "--duration=soon",
        "--timeout=-1s",
    ],
)
def test_generate_bounds_its_numbers(flag):
    """Numbers out of range are wrong usage."""
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "logs", flag])
