"""Finds the storage that a sending queue's settings name, and the queue's store in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sluiceway.component import Context, Storage
from sluiceway.config.exporter import SendingQueue as Settings
from sluiceway.errors import ConfigError, Problem
from sluiceway.otlp import Signal
from sluiceway.pipelines.store import Store
from sluiceway.pipelines.tenants import Terms

__all__ = ["find_store"]

_PATH = "sending_queue::storage"


def find_store(settings: Settings, signal: Signal, context: Context, part: Context) -> tuple[Store, Terms]:
    """The store of an exporter for one signal, and what is wanted of it; after a reload it is the one that is in use.

    `part` is the context by which the store reports how it is. Raises `ConfigError` where there is no such storage.
    """
    storage = _find(settings.storage or "", context)
    log = storage.log(context, f"{signal.value}.queue")
    letters = storage.log(context, f"{signal.value}.dead")
    stores: dict[Path, Store] = context.kept.setdefault("stores", {})
    store = stores.setdefault(log.folder, Store(log, signal))
    return store, Terms(replace(part, drop=context.drop), log, settings.dead_letters, letters)


def _find(storage: str, context: Context) -> Storage:
    try:
        found: Storage = context.extension(storage)
    except LookupError:
        text = f'no storage client extension found: "{storage}"; service::extensions must name it, too'
        raise ConfigError(Problem(text, _PATH)) from None
    if not hasattr(found, "log"):
        raise ConfigError(Problem(f'requested extension is not a storage extension: "{storage}"', _PATH))
    return found
