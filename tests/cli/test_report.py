"""How mistakes are shown."""

import io

from sluiceway.cli.report import bold, print_error
from sluiceway.errors import ConfigError, Problem, RefusedError


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
