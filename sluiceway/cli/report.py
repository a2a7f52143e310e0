"""How the command line shows mistakes: all of them, each with its place, fitted to the terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TextIO

from sluiceway.errors import ConfigError, SluicewayError

__all__ = ["bold", "is_expected", "print_error"]


def is_expected(error: BaseException) -> bool:
    """Whether an error is the person's to mend, so that a traceback would only be in the way."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_expected, error.exceptions))
    return isinstance(error, SluicewayError | OSError)


def print_error(error: BaseException, stream: TextIO | None = None) -> None:
    """Print an error, or all of a group, one paragraph each; the problems of a `ConfigError` one by one."""
    stream = stream or sys.stderr
    texts = _texts(error)
    for text in texts:
        print(_fitted(f"{bold('error', stream, '31')}: {text}", stream), file=stream)
    if len(texts) > 1:
        print(f"{len(texts)} errors", file=stream)


def bold(text: str, stream: TextIO, colour: str = "") -> str:
    """The text set off, where the stream is a terminal and `NO_COLOR` is not set."""
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[1{';' + colour if colour else ''}m{text}\x1b[0m"


def _texts(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [text for part in error.exceptions for text in _texts(part)]
    if isinstance(error, ConfigError):
        return [_plain(str(problem)) for problem in error.problems]
    return [_plain(str(error) or type(error).__name__)]


def _plain(text: str) -> str:
    # What a configuration holds may come from anywhere, and must not move the cursor.
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)


def _fitted(text: str, stream: TextIO) -> str:
    if not stream.isatty():
        return text
    width = max(40, shutil.get_terminal_size().columns)
    lines = text.splitlines()
    return "\n".join(
        textwrap.fill(
            line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False,
            drop_whitespace=True,
        )
        for line in lines
    )  # fmt: skip
