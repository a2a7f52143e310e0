"""The head that a syslog daemon puts before a message in a file: when, which machine, which program.

Two forms are known: `Nov 26 11:14:00 host sshd[123]: ` without a year and a zone, and
`2026-11-26T11:14:00.123456+01:00 host sshd[123]: ` (rsyslog's RSYSLOG_FileFormat, and systemd's short-iso).
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from sluiceway.stanza.syslog.times import nanoseconds, yearless

__all__ = ["NO_HEADER", "Header", "Headers", "moment"]


class Header(NamedTuple):
    """What stands before a message. `time` is ns since the epoch, 0 when it is not told, and so is `pid`."""

    time: int = 0
    host: str = ""
    program: str = ""
    pid: int = 0


NO_HEADER: Final = Header()


class Headers:
    """Splits lines into header and message. `zone` is that of times that name none; None is the machine's."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone

    def split(self, line: str, now: int) -> tuple[Header, str] | None:
        """The header and the message behind it; None where there is no header. `now` is ns since the epoch."""
        if line[:1] == "<":
            line = _without_priority(line)
        if line[3:4] == " " and line[9:10] == ":" and line[12:13] == ":" and line[15:16] == " ":
            time, rest = yearless(line[:15], now, self._zone), line[16:]
        elif line[4:5] == "-" and line[10:11] == "T":
            stamp, _, rest = line.partition(" ")
            time = moment(stamp)
        else:
            return None
        host, _, rest = rest.partition(" ")
        tag, colon, message = rest.partition(": ")
        if not (time and colon) or " " in tag:
            return None
        program, _, pid = tag.partition("[")
        pid = pid[:-1]
        return Header(time, host, program, int(pid) if pid.isdecimal() and len(pid) < 11 else 0), message


def moment(stamp: str) -> int:
    """Nanoseconds since the epoch of ISO 8601 (`T` or a space between; UTC where no zone is told); 0 for none."""
    return _moment(stamp) if len(stamp) <= 48 else 0


@lru_cache(maxsize=4096)
def _moment(stamp: str) -> int:
    try:
        found = datetime.fromisoformat(stamp.removesuffix(" UTC").removesuffix(" GMT"))
    except ValueError:
        return 0
    return max(0, nanoseconds(found if found.tzinfo else found.replace(tzinfo=UTC)))


def _without_priority(line: str) -> str:
    priority, closing, _ = line[1:6].partition(">")
    return line[len(priority) + 2 :] if closing and priority.isdecimal() else line
