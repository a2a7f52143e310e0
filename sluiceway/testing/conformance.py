"""Checks that every component must pass, ours and those of others. They raise `AssertionError` with the rule broken.

A component is built from YAML, the smallest useful one of its module's docstring unless another is given, in the form
in which it stands in a file: `processors: {batch: {...}}`.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from sluiceway.component import Clock, Component, Context, Editor, Kind, Lifecycle, Reason
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.config.tree import Node
from sluiceway.errors import ConfigError, DeliveryError, RefusedError
from sluiceway.otlp import Batch, Signal
from sluiceway.pipelines.edits import Edits
from sluiceway.testing.clock import ManualClock, settle
from sluiceway.testing.feed import items
from sluiceway.testing.sink import MemorySink

__all__ = [
    "check_component",
    "check_exporter",
    "check_lifecycle",
    "check_maker",
    "check_processor",
    "check_settings",
    "example",
    "settings",
]

_YAML = re.compile(r"^ *```yaml\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_UNKNOWN = "surely_no_component_has_this_key"
PATIENCE = 10.0
"""Seconds that anything in a check may take."""


async def check_component(component: Component, yaml: str = "") -> None:
    """Run every check that applies to the component's kind."""
    check_settings(component)
    await check_lifecycle(component, yaml)
    if component.kind in {Kind.PROCESSOR, Kind.CONNECTOR}:
        if component.emits is not None:
            await check_maker(component, yaml)
        else:
            await check_processor(component, yaml)
    elif component.kind is Kind.EXPORTER:
        await check_exporter(component, yaml)


def example(component: Component) -> str:
    """The first YAML block of the docstring of the component's module, or of the package it lies in."""
    name = component.config.__module__
    while name:
        found = _YAML.search(getattr(sys.modules.get(name), "__doc__", None) or "")
        if found:
            return found[1]
        name = name.rpartition(".")[0]
    raise AssertionError(f"{component.kind} {component.type}: the module's docstring has no ```yaml block")


def settings(component: Component, yaml: str = "") -> BaseModel:
    """The settings that `yaml`, or the example of the docstring, gives. Raises `ConfigError`."""
    return decode(component.config, _entry(component, yaml or example(component)))


def check_settings(component: Component) -> None:
    """The example loads, unknown keys are refused by name, settings are frozen, and every field is documented."""
    name = f"{component.kind} {component.type}"
    entry = _entry(component, example(component))
    decode(component.config, entry)
    wrong = Node({**(entry.value if isinstance(entry.value, dict) else {}), _UNKNOWN: Node(1)})
    try:
        decode(component.config, wrong)
    except ConfigError as error:
        _require(_UNKNOWN in str(error), f"{name}: the error for an unknown key does not name it")
    else:
        raise AssertionError(f"{name}: an unknown key is accepted")
    _require(component.config.model_config.get("frozen") is True, f"{name}: its settings can be changed")
    for key, setting in component.config.model_fields.items():
        _require(bool(setting.description), f"{name}: {key} has no docstring")


async def check_lifecycle(component: Component, yaml: str = "") -> None:
    """It can be made and thrown away, started and stopped without data, and again; no task is left behind."""
    chosen = settings(component, yaml)
    name = f"{component.kind} {component.type}"
    before = asyncio.all_tasks()
    _Bench(component, chosen).instance()
    for _ in range(2):
        bench = _Bench(component, chosen)
        async with asyncio.timeout(PATIENCE), bench.running():
            await settle()
        await settle()
        _require(bench.sink.calls == 0, f"{name}: it made data out of nothing by starting and stopping")
        _require(asyncio.all_tasks() <= before, f"{name}: stopping leaves tasks behind")


async def check_processor(component: Component, yaml: str = "") -> None:
    """Every item goes on or is dropped with a reason, also when refused or cancelled; the batch stays as it was."""
    chosen = settings(component, yaml)
    for signal in sorted(component.signals, key=lambda signal: signal.code):
        await _passes(component, chosen, signal)
        await _hands_back(component, chosen, signal)
        await _survives_cancellation(component, chosen, signal)


async def check_maker(component: Component, yaml: str = "") -> None:
    """A connector that makes other items than it takes: these stay as they were, and refusals are its own care."""
    chosen = settings(component, yaml)
    for signal in sorted(component.emits or {}, key=lambda signal: signal.code):
        for error in (None, RefusedError("full"), DeliveryError("away")):
            bench = _Bench(component, chosen)
            bench.sink.error = error
            batch, before = _batch(signal)
            async with asyncio.timeout(PATIENCE), bench.running() as connector:
                await connector.consume(batch)
            _require(batch.payload == before, f"{bench.name}: it changed the batch it was given")
            lost = error is not None and bench.sink.calls and not bench.dropped
            _require(not lost, f"{bench.name}: what was refused when it stopped is not counted as dropped")


async def check_exporter(component: Component, yaml: str = "") -> None:
    """A failed delivery raises one of our errors, the batch stays as it was, and cancellation comes through."""
    chosen = settings(component, yaml)
    for signal in component.signals:
        bench = _Bench(component, chosen)
        batch, before = _batch(signal)
        async with asyncio.timeout(PATIENCE), bench.running() as exporter:
            sending = asyncio.create_task(exporter.consume(batch))
            await settle()
            sending.cancel()
            with suppress(asyncio.CancelledError, DeliveryError, RefusedError):
                await sending
        _require(batch.payload == before, f"{component.kind} {component.type}: it changed the batch it was given")


async def _passes(component: Component, chosen: BaseModel, signal: Signal) -> None:
    bench = _Bench(component, chosen)
    batch, before = _batch(signal)
    async with asyncio.timeout(PATIENCE), bench.running() as processor:
        with suppress(RefusedError):
            await processor.consume(batch)
            bench.taken += batch.items
    bench.require_balance(signal)
    _require(batch.payload == before, f"{bench.name}: it changed the batch it was given")


async def _hands_back(component: Component, chosen: BaseModel, signal: Signal) -> None:
    bench = _Bench(component, chosen)
    batch, _ = _batch(signal)
    bench.sink.error = RefusedError("full")
    async with asyncio.timeout(PATIENCE), bench.running() as processor:
        try:
            await processor.consume(batch)
        except RefusedError:
            pass
        else:
            bench.taken += batch.items
        bench.sink.error = None
    bench.require_balance(signal)


async def _survives_cancellation(component: Component, chosen: BaseModel, signal: Signal) -> None:
    bench = _Bench(component, chosen)
    batch, _ = _batch(signal)
    bench.sink.gate = asyncio.Event()
    async with asyncio.timeout(PATIENCE), bench.running() as processor:
        consuming = asyncio.create_task(processor.consume(batch))
        await settle()
        consuming.cancel()
        await settle()
        bench.sink.gate.set()
        try:
            await consuming
        except (asyncio.CancelledError, RefusedError):
            bench.handed_back += batch.items
        else:
            bench.taken += batch.items
    bench.require_balance(signal)


@dataclass
class _Bench:
    """One instance between a memory sink and a ledger."""

    component: Component
    settings: BaseModel
    clock: Clock = field(default_factory=ManualClock)
    sink: MemorySink = field(default_factory=MemorySink)
    dropped: Counter[Reason] = field(default_factory=Counter)
    taken: int = 0
    handed_back: int = 0

    @property
    def name(self) -> str:
        return f"{self.component.kind} {self.component.type}"

    def instance(self) -> Any:
        context = Context(
            self.component.type,
            self.component.kind,
            signals=self.component.signals,
            pipeline="traces" if self.component.kind is Kind.PROCESSOR else "",
            clock=self.clock,
            drop=self._drop,
        )
        if self.component.kind in {Kind.EXPORTER, Kind.EXTENSION}:
            return self.component.create(self.settings, context)
        return self.component.create(self.settings, context, self.sink)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Any]:
        """Start it, give what consumes, stop it, and stop it once more: a failed start may lead to that."""
        made = self.instance()
        async with AsyncExitStack() as stack:
            if isinstance(made, Lifecycle):
                made = await stack.enter_async_context(made)
            yield Edits([made], self.sink) if isinstance(made, Editor) else made
        if isinstance(made, Lifecycle):
            await made.__aexit__(None, None, None)

    def require_balance(self, signal: Signal) -> None:
        """What was taken went on or was dropped; what was handed back may have gone on as well, but in whole."""
        settled = self.sink.items + self.dropped.total()
        allowed = {self.taken, self.taken + self.handed_back}
        text = f"{self.name}: of {self.taken} {signal.items} that it took, {settled} went on or were dropped"
        _require(settled in allowed, text)

    def _drop(self, items: int, reason: Reason, *, intended: bool = False, tenant: str = "") -> None:  # noqa: ARG002 - part of `DropItems`
        self.dropped[reason] += items


def _batch(signal: Signal) -> tuple[Batch, bytes]:
    batch = items(signal, 3)
    return batch, bytes(bytearray(batch.payload))  # a copy: equal objects may be the same one


def _entry(component: Component, yaml: str) -> Node:
    node = parse(yaml, f"{component.type}.yaml")
    section = node.child(component.kind.section)
    entries = section.value if section is not None else None
    if not isinstance(entries, dict) or len(entries) != 1:
        raise AssertionError(f"{component.type}: the YAML must have the form `{component.kind.section}: {{id: ...}}`")
    (entry,) = entries.values()
    return entry


def _require(held: bool, rule: str) -> None:
    if not held:
        raise AssertionError(rule)
