"""The test kit itself: feeders make what they say, and the conformance checks find what is wrong."""

import asyncio
from typing import ClassVar

import pytest
from pydantic import BaseModel, ConfigDict

from sluiceway.component import Component, Kind, Reason
from sluiceway.config.types import Settings
from sluiceway.errors import ConfigError, RefusedError, SluicewayError
from sluiceway.otlp import Signal
from sluiceway.testing import (
    ManualClock,
    MemorySink,
    check_component,
    check_lifecycle,
    check_maker,
    check_processor,
    check_settings,
    example,
    items,
    settings,
    settle,
)

YAML = "processors: {odd: {}}"


class Quiet(Settings):
    """No settings."""


class Loose(BaseModel):
    """Settings that take anything."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Undocumented(BaseModel):
    """Settings of which one has no docstring."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    size: int = 1


class Forwarding:
    """The smallest processor."""

    def __init__(self, config, context, next_):
        self.context, self.next = context, next_

    async def consume(self, batch):
        """Pass on."""
        await self.next.consume(batch)


class Swallowing(Forwarding):
    """Loses everything."""

    async def consume(self, batch):
        """Pass on nothing and tell nobody."""


class Hiding(Forwarding):
    """Hides a refusal."""

    async def consume(self, batch):
        """Pass on and forget what went wrong."""
        try:
            await self.next.consume(batch)
        except RefusedError:
            return


class Deaf(Forwarding):
    """Loses a batch when cancelled."""

    async def consume(self, batch):
        """Pass on and swallow the cancellation."""
        try:
            await self.next.consume(batch)
        except asyncio.CancelledError:
            return


class Dropping(Forwarding):
    """Drops everything, as it may."""

    async def consume(self, batch):
        """Account for the loss."""
        self.context.drop(batch.items, Reason.FILTERED, intended=True)


class Leaking(Forwarding):
    """Leaves a task behind."""

    tasks: ClassVar = set()

    async def __aenter__(self):
        self.tasks.add(asyncio.create_task(asyncio.sleep(3600)))
        return self

    async def __aexit__(self, kind, error, trace):
        return None


def processor(create, config=Quiet) -> Component:
    """A record for a class."""
    return Component("odd", Kind.PROCESSOR, config, create)


@pytest.mark.parametrize("signal", Signal)
def test_feeders_make_valid_batches(signal):
    """The count is right, the content is the same every time, and the service can be chosen."""
    batch = items(signal, 5, service="shop")
    assert (batch.signal, batch.items) == (signal, 5)
    assert batch.payload == items(signal, 5, service="shop").payload
    assert b"shop" in batch.payload


@pytest.mark.parametrize("create", [Forwarding, Dropping])
async def test_sound_processors_pass(create):
    """Passing on and dropping with a reason are both fine."""
    await check_processor(processor(create), YAML)
    await check_lifecycle(processor(create), YAML)


@pytest.mark.parametrize("create", [Swallowing, Hiding, Deaf])
async def test_losses_are_found(create):
    """Whoever takes items and lets them vanish is caught."""
    with pytest.raises(AssertionError, match=r"odd: of 3 spans that it took, 0 went on or were dropped"):
        await check_processor(processor(create), YAML)


class Telling(Forwarding):
    """Makes an item of its own when it stops; `refused` says what becomes of a refusal."""

    refused: ClassVar = "counted"

    async def consume(self, batch):
        """Take note."""
        self.noted = True

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, trace):
        if self.__dict__.pop("noted", False):
            made = items(Signal.METRICS, 1)
            try:
                await self.next.consume(made)
            except SluicewayError:
                if self.refused == "raised":
                    raise
                if self.refused == "counted":
                    self.context.drop(made.items, Reason.SHUTDOWN)


class Raising(Telling):
    """Stops with an error."""

    refused = "raised"


class Forgetting(Telling):
    """Says nothing of what was refused."""

    refused = "forgotten"


async def test_connectors_that_make_other_items_care_for_refusals():
    """Whoever makes items must not fail at stopping, nor lose them without a word."""

    def connector(create):
        emits = {Signal.TRACES: frozenset({Signal.METRICS})}
        return Component("odd", Kind.CONNECTOR, Quiet, create, emits=emits)

    yaml = YAML.replace("processors", "connectors")
    await check_maker(connector(Telling), yaml)
    with pytest.raises(RefusedError):
        await check_maker(connector(Raising), yaml)
    with pytest.raises(AssertionError, match="odd: what was refused when it stopped is not counted as dropped"):
        await check_maker(connector(Forgetting), yaml)


async def test_leaked_tasks_are_found():
    """Stopping must end what starting began."""
    with pytest.raises(AssertionError, match="stopping leaves tasks behind"):
        await check_lifecycle(processor(Leaking), YAML)
    for task in Leaking.tasks:
        task.cancel()
    await settle()


@pytest.mark.parametrize(
    ("config", "rule"), [(Loose, "an unknown key is accepted"), (Undocumented, "size has no docstring")]
)
def test_bad_settings_are_found(config, rule, monkeypatch):
    """Settings refuse what they do not know, and explain what they do."""
    monkeypatch.setattr("sys.modules", {config.__module__: type("module", (), {"__doc__": f"```yaml\n{YAML}\n```"})})
    with pytest.raises(AssertionError, match=rule):
        check_settings(processor(Forwarding, config))


def test_the_example_is_the_docstrings():
    """The first YAML block of the module is the one that is checked."""
    from sluiceway.extensions.health_check import COMPONENT

    assert example(COMPONENT) == "extensions:\n  health_check:\n    endpoint: localhost:13133\n"
    assert settings(COMPONENT).endpoint == "localhost:13133"


def test_a_module_without_an_example_is_found():
    """Every component shows the smallest useful YAML."""
    with pytest.raises(AssertionError, match="processor odd: the module's docstring has no"):
        example(processor(Forwarding))


def test_yaml_of_another_form_is_refused():
    """The YAML is a section with one entry, as it stands in a file."""
    with pytest.raises(AssertionError, match=r"must have the form `processors: \{id: ...\}`"):
        settings(processor(Forwarding), "odd: {}")
    with pytest.raises(ConfigError, match="nonsense"):
        settings(processor(Forwarding), "processors: {odd: {nonsense: 1}}")


async def test_the_whole_run_on_a_component_of_ours():
    """`check_component` chooses by kind."""
    from sluiceway.connectors.forward import COMPONENT

    await check_component(COMPONENT)


async def test_the_clock_wakes_sleepers_in_order():
    """Time passes only by hand, and who is due first wakes first."""
    clock, woken = ManualClock(), []

    async def sleep(seconds):
        await clock.sleep(seconds)
        woken.append((seconds, clock.now()))

    async with asyncio.TaskGroup() as tasks:
        for seconds in (3, 1, 0):
            tasks.create_task(sleep(seconds))
        await settle()
        assert clock.sleepers == 2
        await clock.advance(5)
    assert woken == [(0, 1000.0), (1, 1001.0), (3, 1003.0)]
    assert clock.now() == 1005.0


async def test_the_clock_times_out():
    """A timeout on the clock cancels its body; None never does."""
    clock = ManualClock()

    async def hang(seconds):
        async with clock.timeout(seconds):
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang(2))
    forever = asyncio.create_task(hang(None))
    await clock.advance(2)
    with pytest.raises(TimeoutError):
        await hanging
    assert not forever.done()
    forever.cancel()


async def test_the_sink_keeps_refuses_and_hangs():
    """What it is given is kept after the gate, unless it is told to refuse."""
    sink = MemorySink()
    sink.gate = asyncio.Event()
    feeding = asyncio.create_task(sink.consume(items(Signal.LOGS, 2)))
    await settle()
    assert (sink.items, sink.calls) == (0, 1)
    sink.gate.set()
    await feeding
    assert sink.items == 2
    sink.error = RuntimeError("no")
    with pytest.raises(RuntimeError):
        await sink.consume(items(Signal.LOGS))
