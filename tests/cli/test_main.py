"""The command line: which command, its help, and the exit codes."""

import subprocess
import sys

import pytest

import sluiceway
from sluiceway.cli.main import COMMANDS, main


@pytest.mark.parametrize("flags", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(flags):
    """Help and version come at once: no configuration, no pydantic, no asyncio is imported for them."""
    code = f"import sys; from sluiceway.cli import main; main({flags}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert not {"pydantic", "asyncio", "yaml", "grpc", "aiohttp", "google.protobuf"} & set(done.stderr.split())


def test_the_overview_lists_every_command(capsys):
    """`--help` shows each command with what it is for, and the exit codes."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert "exit codes" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    """`COMMAND --help` works for each."""
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert COMMANDS[name][1].split(";")[0].split(",")[0] in " ".join(capsys.readouterr().out.split())


def test_the_version(capsys):
    """On standard output, like the Collector's."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sluiceway version {sluiceway.__version__}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["validate", "--nonsense"], ["generate", "spans"]])
def test_wrong_usage_is_two(arguments, capsys):
    """What the command line itself gets wrong is exit code 2, said on standard error."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().out == ""


def test_a_bug_is_no_error_message(monkeypatch):
    """What nobody expected keeps its traceback."""
    monkeypatch.setattr("sluiceway.cli.schema.execute", lambda arguments: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["schema"])


def test_an_interrupt_is_quiet(monkeypatch):
    """Control-C ends with 130, as shells have it."""

    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("sluiceway.cli.schema.execute", interrupt)
    assert main(["schema"]) == 130


def test_a_reader_that_goes_away():
    """A closed pipe ends the command without a traceback."""
    with subprocess.Popen(
        [sys.executable, "-m", "sluiceway", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1
