"""The Collector's feature gates: its known ones are accepted so that its command lines work, and change nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sluiceway.errors import ConfigError

__all__ = ["GATES", "check_gates"]

GATES = frozenset({
    "confmap.enableMergeAppendOption",
    "pkg.exporterhelper.queueBatchEnabled",
    "receiverhelper.newReceiverMetrics",
    "service.AllowNoPipelines",
    "service.partialReload",
    "service.partialReloadReceivers",
    "service.profilesSupport",
    "telemetry.newPipelineTelemetry",
})  # fmt: skip
_log = logging.getLogger("sluiceway.cli")


def check_gates(lists: Iterable[str]) -> None:
    """Warn of known gates in comma lists such as `a,-b,+c`. Raises `ConfigError` for unknown and empty ones."""
    problems = []
    for gate in (gate.strip() for text in lists for gate in text.split(",")):
        name = gate.removeprefix("-") if gate.startswith("-") else gate.removeprefix("+")
        if not name:
            problems.append("empty feature gate identifier")
        elif name not in GATES:
            problems.append(f'no such feature gate "{name}", valid gates: {", ".join(sorted(GATES))}')
        else:
            _log.warning("Feature gate %s is accepted and changes nothing", name)
    if problems:
        raise ConfigError(*problems)
