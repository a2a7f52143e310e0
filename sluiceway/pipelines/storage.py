"""Finds the storage that a sending queue's settings name, and makes the queue's store of it."""

from __future__ import annotations

from dataclasses import replace

from sluiceway.component import Context, Storage
from sluiceway.config.exporter import SendingQueue as Settings
from sluiceway.errors import ConfigError, Problem
from sluiceway.otlp import Signal
from sluiceway.pipelines.dead_letters import DeadLetters
from sluiceway.pipelines.store import Store

__all__ = ["open_store"]

_PATH = "sending_queue::storage"


def open_store(settings: Settings, signal: Signal, context: Context, part: Context) -> Store:
    """The store of an exporter for one signal; after a reload the one that its predecessor has, if it is the same.

    `part` is the context by which the store reports how it is. Raises `ConfigError` where there is no such storage.
    """
    storage = _find(settings.storage or "", context)
    log = storage.log(context, f"{signal.value}.queue")
    letters = None
    if settings.dead_letters is not None:
        letters = DeadLetters(storage.log(context, f"{signal.value}.dead"), settings.dead_letters, context)
    kept: dict[object, Store] = context.kept.setdefault("stores", {})
    key = (log.made_from, settings.dead_letters)
    for other in [other for other, store in kept.items() if not store.is_used]:
        del kept[other]
    if key not in kept:
        kept[key] = Store(log, letters, signal, replace(part, drop=context.drop))
    return kept[key]


def _find(storage: str, context: Context) -> Storage:
    try:
        found: Storage = context.extension(storage)
    except LookupError:
        raise ConfigError(Problem(f'no storage client extension found: "{storage}"', _PATH)) from None
    if not hasattr(found, "log"):
        raise ConfigError(Problem(f'requested extension is not a storage extension: "{storage}"', _PATH))
    return found
