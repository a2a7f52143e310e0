"""The JSON Schema (draft-07) of the whole configuration file, for editors."""

from __future__ import annotations

import re
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sluiceway.component import Component, Kind
from sluiceway.config.rules import Schema
from sluiceway.config.service import Service
from sluiceway.config.types import format_duration
from sluiceway.otlp import Signal
from sluiceway.plain import PlainExporterSettings
from sluiceway.registry import components

__all__ = ["schema"]

_REFERENCE: Final = {"$ref": "#/definitions/reference"}
_TEXT_WITH_REFERENCE: Final = {"$ref": "#/definitions/text_with_reference"}
_NOTHING: Final = {"type": "null"}
_DEFINITIONS: Final[Schema] = {
    "reference": {
        "description": "A value from outside, as ${env:NAME:-default} or ${file:path}.",
        "type": "string",
        "pattern": r"^\$\{.+\}$",
    },
    "text_with_reference": {
        "description": "A text with values from outside, as ${env:HOST}:4317.",
        "type": "string",
        "pattern": r"\$\{[^}]+\}",
    },
}
_OWN_KINDS: Final = (Kind.RECEIVER, Kind.PROCESSOR, Kind.EXPORTER)
_SECTIONS: Final = {
    Kind.RECEIVER: "Where data comes from, by type or type/name.",
    Kind.PROCESSOR: "What is done to data on its way, by type or type/name.",
    Kind.EXPORTER: "Where data goes, by type or type/name.",
    Kind.CONNECTOR: "What joins pipelines: an exporter of one and a receiver of another, by type or type/name.",
    Kind.EXTENSION: "What runs beside the pipelines, by type or type/name.",
}


def schema() -> Schema:
    """Describe the file: each section with every component that is installed, and `service`.

    Nothing is required, because a file may be one of several that are merged.
    """
    installed = {kind: list(components(kind)) for kind in Kind}
    models: set[type[BaseModel]] = {Service, PlainExporterSettings}
    models |= {component.config for known in installed.values() for component in known}
    chosen = sorted(models, key=lambda model: (model.__module__, model.__qualname__))
    references, generated = models_json_schema(
        [(model, "validation") for model in chosen], ref_template="#/definitions/{model}"
    )
    places = {model: references[model, "validation"] for model in chosen}
    definitions = {name: _open(definition) for name, definition in generated.get("$defs", {}).items()}
    around = definitions.pop(places[PlainExporterSettings]["$ref"].rpartition("/")[2])
    own = {f"own_{kind}": _own(kind, around) for kind in _OWN_KINDS}
    _name_pipelines(definitions[places[Service]["$ref"].rpartition("/")[2]])
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Sluiceway configuration",
        "type": "object",
        "properties": {
            **{kind.section: _section(kind, known, places) for kind, known in installed.items()},
            "service": {**places[Service], "description": "What runs, and how it is wired."},
        },
        "patternProperties": {"^x-": {}, "::": {}},
        "additionalProperties": False,
        "definitions": _DEFINITIONS | own | definitions,
    }


def _section(kind: Kind, known: list[Component], places: dict[type[BaseModel], Schema]) -> Schema:
    own = f"own_{kind}"
    return {
        "description": _SECTIONS[kind],
        "type": ["object", "string", "null"],
        "pattern": _DEFINITIONS["reference"]["pattern"],
        "patternProperties": {
            _pattern(component): _either_own({"anyOf": [places[component.config], _REFERENCE, _NOTHING]}, kind)
            for component in known
        },
        "additionalProperties": {"$ref": f"#/definitions/{own}"} if kind in _OWN_KINDS else False,
    }


def _either_own(built_in: Schema, kind: Kind) -> Schema:
    """A component of any name may be one of one's own, if it says so."""
    if kind not in _OWN_KINDS:
        return built_in
    names_a_file = {"type": "object", "required": ["component"]}
    return {"if": names_a_file, "then": {"$ref": f"#/definitions/own_{kind}"}, "else": built_in}


def _own(kind: Kind, exporter: Schema) -> Schema:
    """A component of one's own: an exporter has the settings of every exporter besides."""
    component = {"type": "string", "description": "The file and the class: ./file.py:ClassName."}
    settings = exporter["properties"] if kind is Kind.EXPORTER else {}
    return {
        "description": f"A {kind} in a Python file of your own; its other keys are the settings of the class.",
        "type": "object",
        "required": ["component"],
        "properties": {"component": component, **settings},
    }


def _pattern(component: Component) -> str:
    names = {component.type, component.type.replace("_", ""), *component.aliases}
    return rf"^\s*({'|'.join(map(re.escape, sorted(names)))})\s*(/.+)?$"


def _name_pipelines(service: Schema) -> None:
    section = service["properties"]["pipelines"]
    for part in (section, *section.get("anyOf", ())):
        if "additionalProperties" in part:
            signals = "|".join(signal.value for signal in Signal)
            part["patternProperties"] = {rf"^\s*({signals})\s*(/.+)?$": part["additionalProperties"]}
            part["additionalProperties"] = False


_ABOUT: Final = ("title", "description", "default", "examples", "deprecated")


def _open(definition: Schema) -> Schema:
    """Let every value inside a definition also be a `${...}` reference, and a key be a path of several."""
    opened = dict(definition)
    if "properties" in opened:
        # Nothing keeps the default; in a list or a map there is one to keep for sections, and none for plain values.
        opened["properties"] = {name: _value(part, _NOTHING) for name, part in opened["properties"].items()}
        if opened.get("additionalProperties") is False:
            opened["patternProperties"] = {"::": {}}
    for key in ("items", "additionalProperties"):
        if isinstance(opened.get(key), dict):
            opened[key] = _value(opened[key], *([_NOTHING] if "$ref" in opened[key] else []))
    if "anyOf" in opened and "properties" not in opened:
        opened["anyOf"] = [_open(part) for part in opened["anyOf"]]
    return opened


def _value(part: Schema, *more: Schema) -> Schema:
    if not part.keys() - _ABOUT:
        return part
    about = {key: part[key] for key in _ABOUT if key in part and key != "title"}
    rest = _open({key: value for key, value in part.items() if key not in _ABOUT})
    if isinstance(about.get("default"), float) and rest.get("type") == ["string", "integer"]:
        about["default"] = format_duration(about["default"])
    choices = rest["anyOf"] if rest.keys() == {"anyOf"} else [rest]
    reference = _TEXT_WITH_REFERENCE if any(map(_is_text, choices)) else _REFERENCE
    return about | {"anyOf": [*choices, reference, *(schema for schema in more if schema not in choices)]}


def _is_text(part: Schema) -> bool:
    return "string" in part.get("type", ()) or "const" in part
