"""Since when the counters of a server count."""

from __future__ import annotations

from typing import Final

from sluiceway.receivers.redis.info import Info

__all__ = ["Life"]

_COUNTERS: Final = ("total_commands_processed", "total_connections_received", "total_net_input_bytes")
"""What CONFIG RESETSTAT sets to zero, and every measurement makes larger."""


class Life:
    """One run of a server, from its start on, and the last time its counters were set to zero.

    All times are ns since the Unix epoch on our clock; Redis says its age in whole seconds, so the start is worked out
    once for each run, that it may not tremble.
    """

    def __init__(self) -> None:
        self.time = 0
        """When it was last measured."""
        self.started = 0
        """When the server started."""
        self.counting = 0
        """When the counters that can be set to zero last were."""
        self.run = ""
        """What tells this run from the next."""
        self.age = 0.0
        """Seconds since the start, as the server said."""
        self._counters: tuple[float, ...] = ()

    def measured(self, info: Info, time: int) -> bool:
        """Take in what a server says of itself now; returns whether this is another run than before."""
        age, run = info.number("uptime_in_seconds") or 0, info.text("run_id")
        counters = tuple(info.number(name) or 0 for name in _COUNTERS)
        new = not self.time or run != self.run or age < self.age
        if new:
            self.started = self.counting = time - int(age) * 1_000_000_000
        elif any(now < before for now, before in zip(counters, self._counters, strict=True)):
            self.counting = self.time
        self.time, self.run, self.age, self._counters = time, run, age, counters
        return new
