"""From a file to what is called: the function, or an instance of the class, checked before anything starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from sluiceway.config.code import execute, read_source
from sluiceway.errors import ConfigError

__all__ = ["Program", "load"]


@dataclass(frozen=True, slots=True)
class Program:
    """What a file gives: something to call with a batch, or with an item. `instance` is that of a class."""

    name: str
    call: Callable[[Any], Any]
    is_async: bool
    instance: object = None


def load(file: str, name: str, settings: Mapping[str, Any], argument: str = "batch") -> Program:
    """Run the file and find what is called `name` in it.

    Raises `ConfigError`, which says the line where it can, when the file cannot be run, has no such function or class,
    or has one that cannot be called with `argument` and the settings.
    """
    path = Path(file)
    module = execute(path, read_source(path))
    found = getattr(module, name, None)
    if not callable(found):
        raise ConfigError(f'{path.name} has no function or class "{name}"{_others(module)}')
    if not inspect.isclass(found):
        _check_call(found, f"{path.name}: {name}", (argument,), settings)
        return Program(name, partial(found, **settings) if settings else found, _is_async(found, name))
    _check_call(found, f"{path.name}: {name}", (), settings)
    try:
        instance = found(**settings)
    except Exception as error:
        raise ConfigError(f"{path.name}: {name} cannot be made: {error.__class__.__name__}: {error}") from error
    if not callable(instance):
        raise ConfigError(f"{path.name}: {name} needs a method __call__(self, {argument})")
    _check_call(instance, f"{path.name}: {name}.__call__", (argument,), {})
    return Program(name, instance, _is_async(type(instance).__call__, name), instance)


def _others(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    return f" (there are: {', '.join(names)})" if names else ""


def _check_call(called: Callable[..., Any], what: str, arguments: tuple[str, ...], settings: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        return  # written in C: it says so itself when it is called
    try:
        signature.bind(*arguments, **settings)
    except TypeError as error:
        given = ", ".join([*arguments, *(f"{key}=..." for key in settings)])
        raise ConfigError(f"{what}{signature} cannot be called with ({given}): {error}") from None


def _is_async(called: Callable[..., Any], name: str) -> bool:
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise ConfigError(f"{name} must not contain yield: nothing of it would run")
    return inspect.iscoroutinefunction(called)
