"""The resource that our own telemetry carries: who this collector is."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import sluiceway

if TYPE_CHECKING:
    from sluiceway.config.telemetry import ResourceConfig

__all__ = ["resource_attributes"]


def resource_attributes(written: ResourceConfig, instance: str) -> dict[str, str]:
    """What `service::telemetry::resource` comes to: the defaults, then what is detected, then what is written.

    A null value takes a default away. `instance` is the default of `service.instance.id`.
    """
    pairs = (pair.partition("=") for pair in (written.attributes_list or "").split(",") if "=" in pair)
    attributes: dict[str, Any] = {
        "service.name": "sluiceway",
        "service.version": sluiceway.__version__,
        "service.instance.id": instance,
        **_detected(written),
        **{key.strip(): value.strip() for key, _, value in pairs},
        **{attribute.name: attribute.value for attribute in written.attributes},
    }
    return {key: _text(value) for key, value in attributes.items() if value is not None}


def _detected(written: ResourceConfig) -> dict[str, str]:
    entries = written.detection.detectors if written.detection else ()
    detectors = {str(name) for entry in entries for name, chosen in entry.items() if chosen is not None}
    found: dict[str, str] = {}
    if "host" in detectors:
        found["host.name"] = socket.gethostname()
    if "process" in detectors:
        found |= {"process.pid": str(os.getpid()), "process.runtime.name": sys.implementation.name}
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
