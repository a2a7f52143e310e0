"""One log line on its way to a LogRecord."""

from sluiceway.stanza._entry import Entry, entries

__all__ = ["Entry", "entries"]
