"""`syslog_parser`: messages of RFC 3164 and RFC 5424."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field as PydanticField
from pydantic import model_validator

from sluiceway.config.settings import mistake
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.fields import MISSING, field
from sluiceway.stanza.operators.operator import Step
from sluiceway.stanza.operators.parser import Parser, text, then
from sluiceway.stanza.operators.timestamp import location
from sluiceway.stanza.syslog.messages import parser

__all__ = ["SyslogParser"]


class SyslogParser(Parser):
    """Reads a syslog message: its parts, time and severity."""

    type: Literal["syslog_parser"]
    """Which operator it is."""
    protocol: Literal["rfc3164", "rfc5424"]
    """How the messages are written."""
    location: str = "UTC"
    """The IANA zone of RFC 3164's times, which name none; `Local` is the machine's."""
    allow_skip_pri_header: bool = False
    """Whether the number in angle brackets may be missing."""
    enable_octet_counting: bool = False
    """Whether messages of RFC 5424 begin with their length, which is then passed over."""
    max_octets: Annotated[int, PydanticField(gt=0)] = 8192
    """The greatest such length."""

    @model_validator(mode="after")
    def _check(self) -> SyslogParser:
        if self.enable_octet_counting and self.protocol != "rfc5424":
            raise mistake("octet_counting is only compatible with protocol rfc5424", "enable_octet_counting")
        if self.enable_octet_counting and self.allow_skip_pri_header:
            raise mistake(
                "allow_skip_pri_header and enable_octet_counting cannot both be true", "allow_skip_pri_header"
            )
        try:
            location(self.location)
        except ValueError as error:
            raise mistake(str(error), "location") from None
        return self

    def step(self) -> Step:
        """Read a message, and put its parts."""
        zone = location(self.location) or datetime.now().astimezone().tzinfo
        assert zone is not None  # noqa: S101 - `astimezone` gives one
        read = parser(self.protocol, zone, allow_skip_pri_header=self.allow_skip_pri_header)
        get, put = field(self.parse_from).get, field(self.parse_to).set
        counted, limit = self.enable_octet_counting, self.max_octets

        def step(entry: Entry) -> None:
            value = get(entry)
            if value is MISSING:
                raise ValueError("log entry does not have the expected parse_from field")
            line = text(value, "syslog")
            # Read into an entry of its own, for the parts may go elsewhere than to the attributes.
            found = Entry(None, entry.observed, {}, {})
            read(found, _uncounted(line, limit) if counted else line)
            put(entry, found.attributes)
            entry.time = found.time or entry.time
            entry.severity, entry.severity_text = found.severity, found.severity_text

        return then(step, self.blocks())


def _uncounted(line: str, limit: int) -> str:
    """A message without the length that stands in front of it."""
    digits, space, message = line.partition(" ")
    if not space or not (digits.isascii() and digits.isdigit() and len(digits) < 10 and int(digits) <= limit):
        raise ValueError("expecting the length of the message")
    if len(message.encode(errors="replace")) < int(digits):
        raise ValueError("the message is shorter than its length says")
    return message
