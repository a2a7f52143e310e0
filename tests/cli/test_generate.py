"""`sluiceway generate`: its flags and its exit code."""

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
    assert err == "10 items were lost\n"


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--duration=soon"], "--duration: time: invalid duration"),
        (["--duration=0s"], "--duration: must be above zero, unless --count is given"),
        (["--header=x"], "--header: missing equal sign"),
    ],
)
def test_generate_checks_its_flags(flags, problem, capsys):
    """Values that cannot be are named."""
    assert main(["generate", "logs", *flags]) == 1
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--count=-1", "--batch-size=0", "--batch-size=20001", "--rate=-1", "--rate=inf"])
def test_generate_bounds_its_numbers(flag):
    """Numbers out of range are wrong usage."""
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "logs", flag])
