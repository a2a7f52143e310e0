"""Where `use_internal_logger: false` writes to: the terminal, with a little colour, or files."""

from __future__ import annotations

import os
import re
import threading
from contextlib import ExitStack
from typing import Final, TextIO

from sluiceway.telemetry.outputs import open_output

__all__ = ["Output"]

_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_CYAN: Final = "\x1b[36m"
_PLAIN: Final = "\x1b[0m"
_HEADING: Final = re.compile(r"\w+ #\d+")
_ATTRIBUTE: Final = re.compile(r"( *-> )([^:]*)(: .*)")


class Output:
    """Several streams that get the same text. `write` may be called from any thread, one after another."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        """Open the files, to be appended to; raise `OSError` where that is not possible."""
        self._lock = threading.Lock()
        with ExitStack() as files:
            self._streams = [open_output(path, files) for path in paths]
            self._files = files.pop_all()

    def write(self, head: str, lines: str) -> None:
        """Write a line and the block that belongs to it."""
        with self._lock:
            for stream in self._streams:
                shown = _coloured(head, lines) if _has_colour(stream) else "\n".join(filter(None, (head, lines)))
                encoding = stream.encoding
                stream.write(f"{shown}\n".encode(encoding, "backslashreplace").decode(encoding))
                stream.flush()

    def close(self) -> None:
        """Close the files; the standard streams stay open."""
        self._files.close()


def _has_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _coloured(head: str, lines: str) -> str:
    coloured = [f"{_DIM}{head}{_PLAIN}"]
    for line in lines.split("\n") if lines else ():
        if attribute := _ATTRIBUTE.fullmatch(line):
            arrow, key, rest = attribute.groups()
            coloured.append(f"{arrow}{_CYAN}{key}{_PLAIN}{rest}")
        elif _HEADING.match(line):
            coloured.append(f"{_BOLD}{line}{_PLAIN}")
        else:
            coloured.append(line)
    return "\n".join(coloured)
