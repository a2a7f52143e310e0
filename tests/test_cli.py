"""The command line: what it prints where, and the exit codes."""

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

import sluiceway
from sluiceway.cli.main import COMMANDS, main
from sluiceway.cli.report import bold, print_error
from sluiceway.cli.summary import summary
from sluiceway.component import Reason
from sluiceway.errors import ConfigError, Problem, RefusedError
from sluiceway.otlp import Signal
from sluiceway.pipelines.ledger import Balance, Drop

GOOD = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}}}}
exporters: {debug: {verbosity: basic}}
extensions: {bearertokenauth: {token: hush-hush}}
service:
  telemetry: {metrics: {level: none}}
  extensions: [bearertokenauth]
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
"""


@pytest.fixture
def good(tmp_path):
    """A file that is a working configuration."""
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    return str(file)


def sluice(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "sluiceway", *arguments], check=False, capture_output=True, text=True, timeout=60
    )


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


@pytest.mark.parametrize("arguments", [[], ["run"], ["validate"], ["print-config"]])
def test_without_a_configuration(arguments, capsys):
    """The Collector's words."""
    assert main(arguments) == 1
    assert "at least one config flag must be provided" in capsys.readouterr().err


def test_validate_says_nothing_when_all_is_well(good, capsys):
    """As the Collector: silence and zero."""
    assert main(["validate", "--config", good]) == 0
    assert capsys.readouterr() == ("", "")


def test_validate_shows_every_mistake(tmp_path, capsys):
    """Each on its own line with file, line, column and path, and a count at the end."""
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD.replace("verbosity", "verbosty").replace("exporters: [debug]", "exporters: [debgu]"))
    assert main(["validate", f"--config={file}"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"error: {file}:3:\d+: exporters::debug: .*verbosty.*", errors[0])
    assert 'references exporter "debgu" which is not configured' in errors[1]
    assert errors[2:] == ["2 errors"]


def test_sets_win_over_files(good, capsys):
    """`--set` has the last word."""
    assert main(["print-config", "--config", good, "--set", "exporters.debug.verbosity=detailed", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["exporters"]["debug"]["verbosity"] == "detailed"


def test_print_config_hides_secrets(good, capsys):
    """Secrets show only when that is asked for."""
    assert main(["print-config", "--config", good]) == 0
    redacted = capsys.readouterr().out
    assert "hush-hush" not in redacted
    assert "[REDACTED]" in redacted
    assert main(["print-initial-config", "--config", good, "--mode=unredacted", "--validate=false"]) == 0
    assert "hush-hush" in capsys.readouterr().out


def test_components_are_listed_as_the_collector_does(capsys):
    """YAML with every section, and stability by signal, or by pair for connectors."""
    assert main(["components"]) == 0
    listed = yaml.safe_load(capsys.readouterr().out)
    assert listed["buildinfo"]["version"] == sluiceway.__version__
    (otlp,) = [entry for entry in listed["receivers"] if entry["name"] == "otlp"]
    assert otlp["module"] == "sluiceway.receivers.otlp"
    assert set(otlp["stability"]) == {"traces", "metrics", "logs"}
    (forward,) = [entry for entry in listed["connectors"] if entry["name"] == "forward"]
    assert forward["stability"]["traces-to-logs"] == "Undefined"
    assert len(forward["stability"]) == 9
    assert {
        "name": "health_check",
        "module": "sluiceway.extensions.health_check",
        "stability": {"extension": "Beta"},
    } in listed["extensions"]
    assert main(["components", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == listed


def test_the_schema_knows_components(capsys):
    """It is JSON, and describes what is installed."""
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "otlp" in json.dumps(schema["properties"]["receivers"])


def test_known_gates_are_accepted_with_a_warning(good, caplog):
    """The Collector's command lines work."""
    assert (
        main(["validate", "--config", good, "--feature-gates", "service.partialReload,-service.AllowNoPipelines"]) == 0
    )
    assert "service.partialReload is accepted and changes nothing" in caplog.text
    assert "service.AllowNoPipelines" in caplog.text


def test_unknown_and_empty_gates_are_errors(good, capsys):
    """As in the Collector."""
    assert main(["validate", "--config", good, "--feature-gates", "no.such,"]) == 1
    error = capsys.readouterr().err
    assert 'no such feature gate "no.such"' in error
    assert "empty feature gate identifier" in error


class Terminal(io.StringIO):
    """Something that says it is a terminal."""

    def isatty(self):
        """Say so."""
        return True


def test_errors_fit_a_terminal(monkeypatch):
    """Long ones are wrapped at words and indented, in colour unless `NO_COLOR` is set."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    print_error(ConfigError(Problem("what is wrong is told in many words " * 3, "a::b", "f.yaml", 3, 4)), terminal)
    lines = terminal.getvalue().splitlines()
    assert lines[0].startswith("\x1b[1;31merror\x1b[0m: f.yaml:3:4: a::b: what")
    assert all(len(line) <= 60 and line.startswith("    ") for line in lines[1:])
    monkeypatch.setenv("NO_COLOR", "1")
    assert bold("error", terminal) == "error"


def test_errors_are_plain_elsewhere():
    """In a pipe each is one line, without colours and without control characters from the file."""
    stream = io.StringIO()
    print_error(ExceptionGroup("two", [RefusedError("full " * 50), ConfigError("bad \x1b[2J")]), stream)
    assert stream.getvalue().splitlines() == ["error: " + "full " * 50, "error: bad \\x1b[2J", "2 errors"]


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


def test_the_summary():
    """One line an exporter, numbers to the right, drops by reason, and the verdict."""
    dropped = {Drop("otlp", Reason.QUEUE_FULL, False): 900, Drop("filter", Reason.FILTERED, True): 100}
    balances = [
        Balance("traces", "otlp", Signal.TRACES, 12_000, 5, 11_000, dropped, 0),
        Balance("logs/eu", "debug", Signal.LOGS, 0, 0, 0, {}, 0),
    ]
    assert summary(balances).splitlines() == [
        "pipeline  exporter  accepted  refused  delivered                                  dropped  held",
        "traces    otlp        12,000        5     11,000  900 queue_full, 100 filtered (intended)     0",
        "logs/eu   debug            0        0          0                                        0     0",
        "balances: accepted = delivered + dropped + held",
    ]


def test_the_summary_says_when_items_are_missing():
    """What nobody accounts for is a bug, and is called one."""
    text = summary([Balance("traces", "otlp", Signal.TRACES, 10, 0, 8, {}, 0)])
    assert text.splitlines()[-1] == "does NOT balance, which is a bug: +2 in traces -> otlp"


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def test_a_drain_timeout_that_is_none(good, capsys):
    """Durations of the command line have the Collector's syntax."""
    assert main(["run", "--config", good, "--drain-timeout", "long"]) == 1
    assert "--drain-timeout: time: invalid duration" in capsys.readouterr().err
