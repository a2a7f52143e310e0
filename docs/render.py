"""Render `docs/components/` from the modules: each component's docstring, its settings and their docs.

python -m docs.render
"""

from __future__ import annotations

import inspect
import json
import sys
import types
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sluiceway.component import Component, Kind
from sluiceway.config.types import Opaque
from sluiceway.registry import available, find
from sluiceway.scraping import Metric, ResourceAttribute, declared

PAGES = Path(__file__).parent / "components"


def pages() -> dict[Path, str]:
    """Every page, by its path."""
    return {
        PAGES / kind.section / f"{component.type}.md": page(component)
        for kind in Kind
        for component in (find(kind, name) for name in available(kind))
    }


def page(component: Component) -> str:
    """One component's page."""
    signals = ", ".join(sorted(signal.value for signal in component.signals))
    about = "" if component.kind is Kind.EXTENSION else f" for {signals}"
    aliases = f" Also known as {', '.join(f'`{alias}`' for alias in component.aliases)}." if component.aliases else ""
    lines = [
        f"# `{component.type}` {component.kind}",
        "",
        f"{component.stability.value.capitalize()}{about}.{aliases}",
        "",
        inspect.cleandoc(sys.modules[f"sluiceway.{component.kind.section}.{component.type}"].__doc__ or ""),
    ]
    rows = list(_settings(component.config))
    if rows:
        lines += ["", "## Settings", "", "| key | default | |", "| --- | --- | --- |", *rows]
    for title, head, entries in _declared(component.config):
        lines += ["", f"## {title}", "", head, "| " + " | ".join(["---"] * (head.count("|") - 1)) + " |", *entries]
    for title, text in _page_of(f"sluiceway.{component.kind.section}.{component.type}"):
        lines += ["", f"## {title}", "", *text]
    return "\n".join(lines) + "\n"


def _page_of(module: str) -> Iterable[tuple[str, list[str]]]:
    """What a component that is a folder says besides, in a module `page` of its own."""
    if not hasattr(sys.modules[module], "__path__") or find_spec(f"{module}.page") is None:
        return ()
    sections: Iterable[tuple[str, list[str]]] = import_module(f"{module}.page").sections()
    return sections


def _settings(model: type[BaseModel], prefix: str = "", seen: tuple[type, ...] = ()) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        models = [] if model in seen else list(_models(field.annotation))
        nested = models[0] if len(models) == 1 else None  # what may be of several kinds has a page of its own
        text = " ".join((field.description or "").split())
        words = [word for word in dict.fromkeys(_words(field.annotation)) if word]
        if len(words) > 1 and any(f"`{word}`" not in text for word in words):
            text += f" One of {', '.join(f'`{word}`' for word in words)}."
        escaped = text.replace("|", "\\|")
        yield f"| `{key}` | {_default(field, nested)} | {escaped} |"
        if nested is not None and nested not in seen:
            yield from _settings(nested, f"{key}::", (*seen, model))


def _declared(model: type[BaseModel]) -> Iterator[tuple[str, str, list[str]]]:
    """The tables of what a component emits: its metrics, then its resource attributes."""
    entries = [entry for _, mark in declared(model) for entry in mark.entries.values()]
    metrics = [_metric(entry) for entry in entries if isinstance(entry, Metric)]
    if metrics:
        yield "Metrics", "| metric | on | instrument | unit | attributes | |", metrics
    attributes = [
        f"| `{entry.name}` | {_mark(entry.enabled)} | {entry.description} |"
        for entry in dict.fromkeys(entry for entry in entries if isinstance(entry, ResourceAttribute))
    ]
    if attributes:
        yield "Resource attributes", "| attribute | on | |", attributes


def _metric(metric: Metric) -> str:
    attributes = ", ".join(f"`{name}`" for name in metric.attributes)
    kind = metric.instrument if metric.instrument == "histogram" else f"{metric.instrument}, {metric.value.__name__}"
    text = f"{metric.description} Deprecated: {metric.deprecated}" if metric.deprecated else metric.description
    return f"| `{metric.name}` | {_mark(metric.enabled)} | {kind} | {metric.unit} | {attributes} | {text} |"


def _mark(enabled: bool) -> str:
    return "yes" if enabled else ""


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType) or get_origin(annotation) is not None:
        for argument in get_args(annotation):
            yield from _models(argument)


def _words(annotation: Any) -> Iterator[str]:
    """The texts that may be given, where not all may."""
    if get_origin(annotation) is Literal:
        yield from (str(word) for word in get_args(annotation))
    elif get_origin(annotation) is not dict and not (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
        for argument in get_args(annotation):
            yield from _words(argument)


def _default(field: FieldInfo, nested: type[BaseModel] | None) -> str:
    """A field's default as one would write it in YAML."""
    value = field.get_default(call_default_factory=True)
    match value:
        case _ if value is PydanticUndefined:
            return "required"
        case BaseModel():
            return "on"
        case None:
            return "off" if nested else "none"
        case "" | () | [] | {}:
            return "none"
        case Opaque():
            return "`[REDACTED]`" if value.reveal() else "none"
    written = TypeAdapter(Annotated[field.annotation, None, *field.metadata]).dump_python(value, mode="json")
    return f"`{written}`" if isinstance(written, str) else f"`{json.dumps(written)}`"


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
