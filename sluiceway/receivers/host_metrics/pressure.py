"""The scraper `pressure`: how long work stood still for want of a CPU, of memory, or of I/O.

These are the kernel's pressure stall information (PSI), Documentation/accounting/psi.rst: `some` is the time in which
at least one task waited, `full` that in which none could go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from sluiceway.config.types import Settings
from sluiceway.receivers.host_metrics.files import Files
from sluiceway.scraping import Declares, MetricSettings, Scrape, counter, gauge

__all__ = ["PressureScraper", "PressureSettings"]

TIME = counter("system.linux.pressure.time", "s", "Time in which tasks stood still.", "resource", "kind", value=float)
RATIO = gauge(
    "system.linux.pressure.ratio",
    "1",
    "The part of the time in which tasks stood still, on the average of a window.",
    "resource",
    "kind",
    "window",
    value=float,
    on=False,
)
RESOURCES: Final = ("cpu", "memory", "io", "irq")
WINDOWS: Final = {b"avg10": "10s", b"avg60": "60s", b"avg300": "300s"}


class PressureSettings(Settings):
    """The settings of `pressure`."""

    metrics: Annotated[MetricSettings, Declares(TIME, RATIO)] = MetricSettings()
    """Which metrics are emitted, and how."""


class PressureScraper:
    """Reads /proc/pressure, which Linux has since 4.20, and its `irq` since 6.1."""

    def __init__(self, _settings: PressureSettings, files: Files) -> None:
        self._files = files

    def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when there is nothing to be had."""
        found = False
        for resource in RESOURCES:
            try:
                lines = self._files.parse(f"proc/pressure/{resource}", lambda data: list(_lines(data)))
            except FileNotFoundError:
                continue
            except OSError as error:  # EOPNOTSUPP: the kernel could, but was started with psi=0
                if not found:
                    raise
                scrape.problem(str(error))
                continue
            found = True
            for kind, seconds, ratios in lines:
                here = {"resource": resource, "kind": kind}
                scrape.record(TIME, seconds, here)
                for window, ratio in ratios.items():
                    scrape.record(RATIO, ratio, {**here, "window": window})
        if not found:
            raise OSError("this kernel tells no pressure (there is no /proc/pressure; start it with psi=1)")


def _lines(data: bytes) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Of each line its kind, its seconds and its ratios by their windows."""
    for line in data.splitlines():
        kind, *parts = line.split()
        values = {name: value for name, _, value in (part.partition(b"=") for part in parts)}
        ratios = {window: float(values[key]) / 100 for key, window in WINDOWS.items()}
        yield kind.decode("ascii"), int(values[b"total"]) / 1e6, ratios
