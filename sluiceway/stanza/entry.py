"""One log line on its way to a LogRecord."""

from __future__ import annotations

from typing import Any

__all__ = ["Entry"]


class Entry:
    """What operators read and change. It becomes one LogRecord.

    `body` and the values of `attributes` and `resource` are what OTLP can hold: texts, bools, ints of 64 bits, floats,
    bytes, and lists and dicts of them with texts as keys; None is an empty value. Times are nanoseconds since the Unix
    epoch, 0 for unknown. `severity` is the SeverityNumber, 0 for none. `mark` is the receiver's own: where the line
    came from.
    """

    __slots__ = (
        "attributes", "body", "event_name", "flags", "mark", "observed", "resource", "scope", "severity", "severity_text",
        "span_id", "time", "trace_id",
    )  # fmt: skip

    def __init__(self, body: Any, observed: int, attributes: dict[str, Any], resource: dict[str, Any]) -> None:
        self.body = body
        self.observed = observed
        self.attributes = attributes
        self.resource = resource
        self.time = 0
        self.severity = 0
        self.severity_text = ""
        self.event_name = ""
        self.scope = ""
        self.trace_id = b""
        self.span_id = b""
        self.flags = 0
        self.mark: tuple[str, int, int] | None = None
