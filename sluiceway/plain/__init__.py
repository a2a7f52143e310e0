"""One plain class in a file is a full component: this adapts it to the contract.

The class takes its settings as keyword arguments, whose annotations become the configuration model; a parameter named
`context` receives the component's `Context`. An exporter has `consume(batch)`, a processor `consume(batch)` that
returns what to forward, a receiver `receive(next)` or the asynchronous generator `batches()`. `consume` may be a plain
function. `__aenter__` and `__aexit__` are called where the class has them. Around an exporter stand the same parts as
around any other, by the same settings; they are off unless they are given.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, Field, create_model

from sluiceway.component import Component, Kind, Stability
from sluiceway.config.code import execute, read_source
from sluiceway.config.exporter import CircuitBreaker, RetryOnFailure, SendingQueue, Timeout
from sluiceway.config.types import Opaque, Section, Settings
from sluiceway.errors import ConfigError
from sluiceway.plain.components import PlainExporter, PlainProcessor, PlainReceiver

__all__ = ["PlainExporterSettings", "adapt", "from_file", "path_of"]

_FILE = re.compile(r"(.+?\.py)(?::(.*))?")
_PREFIX = "setting_"  # so that a setting may be called anything, even what a pydantic model has itself


class PlainExporterSettings(Settings):
    """The settings that an exporter made of a plain class has beside those of the class. All are off by default."""

    timeout: Timeout = 0.0
    """How long one call of `consume` may take; 0s has no limit."""
    retry_on_failure: Section[RetryOnFailure] = None
    """How often and when to try again."""
    sending_queue: Section[SendingQueue] = None
    """The queue that takes responsibility for batches."""
    circuit_breaker: Section[CircuitBreaker] = None
    """Stops attempts while the backend is down."""


def from_file(reference: str, kind: Kind, type: str, folder: Path) -> Component:
    """Make a component of `./file.py:ClassName`, a path relative to `folder`; the class may be left out if it is alone.

    `package.module:ClassName` names a class that can be imported. Raises `ConfigError` when the file, the class or what
    it needs is missing. An unchanged file gives an equal record.
    """
    match = _FILE.fullmatch(reference)
    if match is None:
        return _imported(reference, kind, type)
    path = folder / match[1]
    return _component(path.resolve(), read_source(path), match[2], kind, type)


def path_of(reference: str, folder: Path) -> Path | None:
    """The Python file that a reference names; None for one that is to be imported."""
    match = _FILE.fullmatch(reference)
    return folder / match[1] if match else None


@lru_cache(maxsize=256)
def _imported(reference: str, kind: Kind, type: str) -> Component:
    module_name, colon, name = reference.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), name)):
        text = "is neither the path of a Python file, such as ./redact.py:RedactNames, nor package.module:ClassName"
        raise ConfigError(f'"{reference}" {text}')
    try:
        module = import_module(module_name)
    except Exception as error:
        raise ConfigError(f"{module_name} cannot be imported: {error.__class__.__name__}: {error}") from error
    found = getattr(module, name, None)
    if not inspect.isclass(found):
        raise ConfigError(f'{module_name} has no class "{name}"')
    return adapt(found, kind, type)


@lru_cache(maxsize=256)
def _component(path: Path, source: bytes, name: str | None, kind: Kind, type: str) -> Component:
    module = execute(path, source)
    record = getattr(module, "COMPONENT", None)
    if name is None and isinstance(record, Component):
        if record.kind is not kind:
            raise ConfigError(f"{path.name} holds a {record.kind} and no {kind}")
        return record
    return adapt(_choose(module, name, path), kind, type)


def _choose(module: ModuleType, name: str | None, path: Path) -> type:
    classes = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and not key.startswith("_")
    }
    if name is None and len(classes) == 1:
        return next(iter(classes.values()))
    if name in classes:
        return classes[name]
    what = f'has no class "{name}"' if name else "must name its class, as in ./file.py:ClassName"
    raise ConfigError(f"{path.name} {what} (classes: {', '.join(classes) or 'none'})")


def adapt(plain: type, kind: Kind, type: str) -> Component:
    """Make a component of a plain class. Raises `ConfigError` when it has not the methods that its kind needs."""
    wrap = _wrapper(plain, kind)
    parameters = _parameters(plain)
    takes_context = parameters.pop("context", None) is not None
    model = _model(plain, parameters, PlainExporterSettings if kind is Kind.EXPORTER else Settings)

    def create(config: BaseModel, context: Any, *next: Any) -> Any:
        settings = {name: getattr(config, _PREFIX + name) for name in parameters}
        if takes_context:
            settings["context"] = context
        return wrap(plain(**settings), context, *next)

    return Component(type, kind, model, create, stability=Stability.DEVELOPMENT)


def _wrapper(plain: type, kind: Kind) -> Callable[..., Any]:
    match kind:
        case Kind.EXPORTER if callable(getattr(plain, "consume", None)):
            return PlainExporter
        case Kind.PROCESSOR if callable(getattr(plain, "consume", None)):
            return PlainProcessor
        case Kind.RECEIVER if callable(getattr(plain, "receive", None)):
            return partial(PlainReceiver, "receive")
        case Kind.RECEIVER if inspect.isasyncgenfunction(getattr(plain, "batches", None)):
            return partial(PlainReceiver, "batches")
        case Kind.EXPORTER | Kind.PROCESSOR:
            raise ConfigError(f"{plain.__name__} needs a method consume(self, batch) to be used in {kind.section}")
        case Kind.RECEIVER:
            text = "needs a method async receive(self, next), or an asynchronous generator batches(self),"
            raise ConfigError(f"{plain.__name__} {text} to be a receiver")
        case _:
            raise ConfigError(f"a plain class can be a receiver, a processor or an exporter, and no {kind}")


def _parameters(plain: type) -> dict[str, inspect.Parameter]:
    try:
        parameters = list(inspect.signature(plain, eval_str=True).parameters.values())
    except Exception as error:
        raise ConfigError(f"the annotations of {plain.__name__}.__init__ cannot be used: {error}") from error
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"{plain.__name__}.__init__ must name each setting, and has {parameter}")
    return {parameter.name: parameter for parameter in parameters}


def _model(plain: type, parameters: dict[str, inspect.Parameter], root: type[Settings]) -> type[BaseModel]:
    taken = [name for name in parameters if name in root.model_fields]
    if taken:
        text = f"cannot have a setting {taken[0]}: every exporter has one, and it is not handed to the class"
        raise ConfigError(f"{plain.__name__}.__init__ {text}")
    fields: dict[str, Any] = {
        _PREFIX + name: (
            Any if parameter.annotation is parameter.empty else parameter.annotation,
            Field(alias=name) if parameter.default is parameter.empty else Field(_default(parameter), alias=name),
        )
        for name, parameter in parameters.items()
    }
    try:
        return create_model(f"{plain.__name__}Settings", __base__=root, __doc__=plain.__doc__, **fields)
    except Exception as error:
        raise ConfigError(f"the annotations of {plain.__name__}.__init__ cannot be used: {error}") from error


def _default(parameter: inspect.Parameter) -> object:
    """What a parameter is when it is left out; a secret is written as a text there as well."""
    is_secret = parameter.annotation is Opaque and isinstance(parameter.default, str)
    return Opaque(parameter.default) if is_secret else parameter.default
