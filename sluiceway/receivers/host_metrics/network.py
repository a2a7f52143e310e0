"""The scraper `network`: what interfaces send and receive, and the states of TCP's connections."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Final

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.receivers.host_metrics.filters import InterfaceFilter, admits
from sluiceway.scraping import Declares, MetricSettings, Scrape, counter, updowncounter

__all__ = ["NetworkScraper", "NetworkSettings"]

IO = counter("system.network.io", "By", "What was sent and received.", "device", "direction")
PACKETS = counter("system.network.packets", "{packets}", "Packets sent and received.", "device", "direction")
ERRORS = counter("system.network.errors", "{errors}", "Errors in sending and receiving.", "device", "direction")
DROPPED = counter(
    "system.network.dropped", "{packets}", "Packets dropped in sending and receiving.", "device", "direction"
)
CONNECTIONS = updowncounter(
    "system.network.connections", "{connections}", "Connections in each state.", "protocol", "state"
)
CONNTRACK_COUNT = updowncounter(
    "system.network.conntrack.count", "{entries}", "Connections that the firewall keeps track of.", on=False
)
CONNTRACK_MAX = updowncounter(
    "system.network.conntrack.max", "{entries}", "Connections that the firewall can keep track of.", on=False
)

STATES: Final = {
    "01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT_1", "05": "FIN_WAIT_2", "06": "TIME_WAIT",
    "07": "CLOSE", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN", "0B": "CLOSING", "0C": "SYN_RECV",
}  # fmt: skip
"""States by the kernel's numbers (net/tcp_states.h), 0C being one of those for which TCP has received a SYN."""
OTHER: Final = ("DELETE",)
"""A state of other systems, which the Collector names; there are none of it."""
_STATE: Final = re.compile(rb":[0-9A-F]{4} ([0-9A-F]{2}) ")
"""In a line of /proc/net/tcp, what follows the port of the other side."""


class NetworkSettings(Settings):
    """The settings of `network`."""

    include: InterfaceFilter | None = None
    """The interfaces to measure; all when it is left out."""
    exclude: InterfaceFilter | None = None
    """The interfaces not to measure."""
    metrics: Annotated[
        MetricSettings, Declares(IO, PACKETS, ERRORS, DROPPED, CONNECTIONS, CONNTRACK_COUNT, CONNTRACK_MAX)
    ] = MetricSettings()
    """Which metrics are emitted, and how."""


class NetworkScraper:
    """Reads /proc/net; with a `root_path` that of process 1, as /proc/net is that of whoever reads it."""

    def __init__(self, settings: NetworkSettings, files: Files) -> None:
        self._settings = settings
        self._files = files
        self._folder = "proc/1/net" if files.root else "proc/net"

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        self._record_interfaces(scrape)
        metrics = self._settings.metrics
        if metrics.enables(CONNECTIONS):
            self._record_connections(scrape)
        for metric, name in ((CONNTRACK_COUNT, "count"), (CONNTRACK_MAX, "max")):
            if metrics.enables(metric):
                try:
                    scrape.record(metric, self._files.parse(f"proc/sys/net/netfilter/nf_conntrack_{name}", int))
                except FileNotFoundError:
                    scrape.problem("nothing keeps track of connections here (nf_conntrack is not loaded)")
                except OSError as error:
                    scrape.problem(str(error))

    def _record_interfaces(self, scrape: Scrape) -> None:
        for device, numbers in self._files.parse(f"{self._folder}/dev", _interfaces).items():
            if not admits(self._settings.include, self._settings.exclude, device):
                continue
            for direction, first in (("receive", 0), ("transmit", 8)):
                here = {"device": device, "direction": direction}
                for metric, number in zip((IO, PACKETS, ERRORS, DROPPED), numbers[first : first + 4], strict=True):
                    scrape.record(metric, number, here)

    def _record_connections(self, scrape: Scrape) -> None:
        counts: Counter[str] = Counter(dict.fromkeys((*STATES.values(), *OTHER), 0))
        for name in ("tcp", "tcp6"):
            try:
                numbers = Counter(_STATE.findall(self._files.read(f"{self._folder}/{name}")))
            except FileNotFoundError:  # a machine may have only one of them
                continue
            except OSError as error:
                scrape.problem(str(error))
                return
            for number, count in numbers.items():
                if (state := STATES.get(number.decode())) is not None:
                    counts[state] += count
        for state, count in counts.items():
            scrape.record(CONNECTIONS, count, {"protocol": "tcp", "state": state})


def _interfaces(data: bytes) -> dict[str, list[int]]:
    found = {}
    for line in data.splitlines()[2:]:
        name, _, numbers = line.rpartition(b":")
        found[name.strip().decode(errors="surrogateescape")] = [int(number) for number in numbers.split()]
    if any(len(numbers) < 16 for numbers in found.values()):
        raise ValueError("too few columns")
    return found
