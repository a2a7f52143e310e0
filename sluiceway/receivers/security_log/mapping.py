"""From lines to events: the header is read, the presets of its program are asked, and one bad line costs itself."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import tzinfo
from typing import Final, TypeAlias

from sluiceway.escape import escape
from sluiceway.receivers.security_log.header import Header, Headers
from sluiceway.receivers.security_log.ocsf import Event
from sluiceway.receivers.security_log.presets import choose
from sluiceway.receivers.security_log.presets.auditd import SEPARATOR
from sluiceway.receivers.security_log.presets.preset import Parse

__all__ = ["Found", "Mapping", "visible"]

_ENRICHED: Final = "\x1d"
_REPEATED: Final = "message repeated "
Found: TypeAlias = tuple[Event, str]
"""An event, and the name of the preset that knew it."""
_Named = tuple[str, Parse]


class Mapping:
    """Knows the presets that were chosen. `hostname` is the machine of lines that name none."""

    def __init__(self, presets: Iterable[str], *, hostname: str = "", zone: tzinfo | None = None) -> None:
        chosen = choose(presets)
        self._headers = Headers(zone)
        self._hostname = hostname
        self._by_program: dict[str, tuple[_Named, ...]] = {}
        self._of_all = tuple((p.name, p.parse) for p in chosen if not p.programs)
        self._whole = tuple((p.name, p.parse) for p in chosen if p.whole)
        self._alone = tuple((p.name, p.parse) for p in chosen if not p.whole)
        for preset in chosen:
            for program in preset.programs:
                self._by_program[program] = (*self._by_program.get(program, ()), (preset.name, preset.parse))
        for program, parsers in self._by_program.items():
            self._by_program[program] = (*parsers, *self._of_all)

    def line(self, text: str, now: int) -> Found | None:
        """The event of a line of a file and the name of its preset, or None; `now` is ns since the epoch."""
        text = visible(text)
        found = self._headers.split(text, now)
        if found is None:
            return self._ask((*self._whole, *self._alone), text, Header(0, self._hostname), now)
        header, message = found
        return self.message(message, header, now) or self._ask(self._whole, message, header, now)

    def message(self, message: str, header: Header, now: int) -> Found | None:
        """The event of a message whose header is known already; its control characters are escaped."""
        asked = self._by_program.get(header.program, self._of_all)
        if not asked:
            return None
        if not header.host:
            header = header._replace(host=self._hostname)
        count = 1
        if message.startswith(_REPEATED):
            count, message = _repeated(message)
        found = self._ask(asked, message, header, now)
        if found is not None:
            found[0].count = count
        return found

    def _ask(self, parsers: Iterable[_Named], message: str, header: Header, now: int) -> Found | None:
        for name, parse in parsers:
            try:
                event = parse(message, header)
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, csv.Error):
                continue  # it only looked like a line of this preset
            if event is not None:
                event.time = event.time or header.time or now
                event.pid = event.pid or header.pid
                return event, name
        return None


def visible(text: str) -> str:
    """The text without control characters; what stands behind an audit record's separator is told by a line feed."""
    if text.isprintable():
        return text
    record, separator, enriched = text.partition(_ENRICHED)
    if separator and "type=" in record:
        return f"{escape(record)}{SEPARATOR}{escape(enriched)}"
    return escape(text)


def _repeated(message: str) -> tuple[int, str]:
    """`message repeated 2 times: [ MESSAGE]`."""
    count, _, rest = message[len(_REPEATED) :].partition(" times: [ ")
    if not (rest.endswith("]") and count.isascii() and count.isdigit() and len(count) < 7):
        return 1, message
    return max(1, int(count)), rest[:-1]
