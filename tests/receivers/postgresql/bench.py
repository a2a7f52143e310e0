"""The receiver `postgresql` from YAML, measured by hand."""

from __future__ import annotations

from typing import Any

from sluiceway.component import SystemClock
from sluiceway.otlp import Signal
from sluiceway.receivers.postgresql import COMPONENT, PostgresSettings
from tests.receivers import measuring
from tests.receivers.measuring import ReceiverBench, attributes, values
from tests.servers.postgresql import PostgresServer

__all__ = ["COMPONENT", "EVERYTHING", "Bench", "access", "attributes", "settings", "values"]

EVERYTHING = measuring.all_on(PostgresSettings)
"""The setting `metrics` with all on."""


def settings(yaml: str) -> Any:
    """What YAML gives."""
    return measuring.settings(COMPONENT, yaml)


def access(server: PostgresServer, more: str = "", *, user: str = "otel", tls: str = "{insecure: true}") -> str:
    """The settings that let a role in, and further ones."""
    return f"{{endpoint: '{server.endpoint}', username: {user}, password: secret, tls: {tls}{more and ', ' + more}}}"


class Bench(ReceiverBench):
    """A receiver that runs, whose measurements are asked for by `measure`."""

    def __init__(
        self, yaml: str, clock: SystemClock | None = None, signals: frozenset[Signal] = COMPONENT.signals
    ) -> None:
        super().__init__(COMPONENT, yaml, clock, signals)
