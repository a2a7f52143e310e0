"""OCSF's own schema as the judge of what the presets make."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from sluiceway.receivers.security_log.mapping import Mapping
from sluiceway.receivers.security_log.ocsf import VERSION
from sluiceway.receivers.security_log.presets import NAMES

NOW = 1_795_692_000_000_000_000
"""2026-11-26T11:20:00Z"""


@lru_cache
def _schema() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(VERSION))


@lru_cache
def _validator(uid: int) -> Draft202012Validator:
    schema = _schema()
    return Draft202012Validator(schema.get_class_schema(schema.lookup_class_name_from_uid(uid)))


def problems(body: dict[str, Any]) -> list[str]:
    """What the schema of its class finds wrong with an event; a field that it does not know is wrong, too."""
    return [f"{error.json_path}: {error.message[:300]}" for error in _validator(body["class_uid"]).iter_errors(body)]


def event(line: str, *presets: str, now: int = NOW) -> dict[str, Any]:
    """The event of a line, which must be valid."""
    found = Mapping(presets or NAMES, hostname="here").line(line, now)
    assert found is not None, f"no preset knows {line!r}"
    body = found[0].body()
    assert problems(body) == []
    return body | {"_preset": found[1], "_user": found[0].user, "_source": found[0].source}


def unknown(line: str, *presets: str) -> bool:
    """Whether no preset claims to know a line."""
    return Mapping(presets or NAMES, hostname="here").line(line, NOW) is None
