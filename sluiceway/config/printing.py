"""The configuration that is in force, with the defaults of each component and without its secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel

from sluiceway.component import Kind
from sluiceway.config.model import ComponentConfig, Config, PipelineConfig
from sluiceway.config.scalars import resolve

__all__ = ["Format", "Mode", "render", "resolved"]

Mode = Literal["redacted", "unredacted"]
Format = Literal["yaml", "json"]

_PASSWORD: Final = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#:@\s]*:)[^/?#\s]+(?=@)")


def resolved(config: Config, mode: Mode = "redacted") -> dict[str, Any]:
    """Return the configuration as plain data that can be loaded again; `redacted` shows secrets as `[REDACTED]`."""
    sections: dict[str, Mapping[str, ComponentConfig]] = {kind.section: getattr(config, kind.section) for kind in Kind}
    written: dict[str, Any] = {
        section: {id: _component(config, section, entry, mode) for id, entry in entries.items()}
        for section, entries in sections.items()
        if entries
    }
    written["service"] = {
        "extensions": list(config.service_extensions),
        "pipelines": {id: _pipeline(pipeline) for id, pipeline in config.pipelines.items()},
        "telemetry": _dump(config.telemetry, mode),
    }
    return written


def render(config: Config, mode: Mode = "redacted", format: Format = "yaml") -> str:
    """Write the configuration in force as YAML or JSON."""
    if format == "json":
        return json.dumps(resolved(config, mode), indent=2, ensure_ascii=False) + "\n"
    text: str = yaml.dump(resolved(config, mode), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def _dump(settings: BaseModel, mode: Mode) -> dict[str, Any]:
    dumped = settings.model_dump(mode="json", by_alias=True, context={"unredacted": mode == "unredacted"})
    shown: dict[str, Any] = dumped if mode == "unredacted" else _without_passwords(dumped)
    return shown


def _without_passwords(value: Any) -> Any:
    """The same data, in which URLs (`http://user:password@host`) have lost their passwords."""
    match value:
        case str():
            return _PASSWORD.sub(r"\1REDACTED", value)
        case dict():
            return {key: _without_passwords(item) for key, item in value.items()}
        case list():
            return [_without_passwords(item) for item in value]
        case _:
            return value


def _component(config: Config, section: str, entry: ComponentConfig, mode: Mode) -> dict[str, Any]:
    raw = next((raw for key, raw in config.resolved.get(section, {}).items() if key.replace(" ", "") == entry.id), None)
    file = {"component": raw["component"]} if isinstance(raw, dict) and "component" in raw else {}
    return file | _dump(entry.settings, mode)


def _pipeline(pipeline: PipelineConfig) -> dict[str, list[str]]:
    return {
        "receivers": list(pipeline.receivers),
        "processors": list(pipeline.processors),
        "exporters": list(pipeline.exporters),
    }


class _Dumper(yaml.SafeDumper):
    """Writes YAML that our own rules read back as the same: `1e5` and `0o17` as text need quotes."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(resolve(text), str) else "'"
    if any(break_ in text for break_ in "\x85\u2028\u2029"):
        style = '"'  # elsewhere these are line breaks, which a reader folds
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
