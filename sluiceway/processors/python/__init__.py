"""Calls a function of yours with each batch: spans, log records and data points that read and write as plain objects.

Nothing is decoded that the function does not touch, and what it leaves alone keeps its bytes. It may read and set
attributes, names, bodies and the rest, drop items, or take whole columns to numpy; it cannot make new items. See
[processing with Python](../../python.md) for what it can do, with recipes.

`function` is a function or a class of the file; an instance of a class is made once for each pipeline, and called. With
`async def` it runs on the event loop, else on a thread of its own, one call at a time. `timeout` bounds each call. When
it raises or overruns, `error_mode` says what becomes of the batch: it is refused, it passes as it came, with nothing of
what the function did, or it is dropped and counted. The log has the error; the sender is told that the function failed,
and not how. What the function drops is counted as `filtered`.

A changed file is taken up while the process runs. One that cannot be used, or is not done within 30 seconds, leaves
the function of before in force, and log and health say why. The file is a part of your configuration: it runs with all
rights that Sluiceway has.

```yaml
processors:
  python:
    file: ./enrich.py        # beside this file
    function: enrich
```
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import Field

from sluiceway.component import Component, Consumer, Context, Kind, Reason, Stability
from sluiceway.config.code import BesidePath
from sluiceway.config.files import stamp_of
from sluiceway.config.types import Duration, Settings
from sluiceway.errors import ConfigError, PermanentError, RetryableError, SluicewayError
from sluiceway.otlp import Batch
from sluiceway.otlp.view import BatchView
from sluiceway.processors.python.failures import Failures
from sluiceway.processors.python.life import Life
from sluiceway.processors.python.program import Program, load
from sluiceway.processors.python.worker import EscapedError, OverrunError, StuckError, Worker, bounded, contained

__all__ = ["COMPONENT", "PythonConfig", "PythonProcessor"]

_LOADING: float = 30.0
"""Seconds that running the file may take, and entering its class."""


class PythonConfig(Settings):
    """The settings of `python`."""

    file: BesidePath = Field(min_length=1)
    """The Python file; a relative path begins at the folder of the configuration."""
    function: str = Field(min_length=1)
    """The function in it, or the class."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for each call of the function, or for making the instance of the class."""
    per: Literal["batch", "item"] = "batch"
    """Whether the function is called with a batch, or with each span, log record or data point of it."""
    error_mode: Literal["refuse", "propagate", "pass", "ignore", "drop"] = "refuse"
    """What becomes of a batch when the function fails: `refuse`, `pass` or `drop`. `propagate` and `ignore` are the
    Collector's words for the first two."""
    timeout: Duration = Field(default=1.0, gt=0)
    """How long the function may take for one batch."""
    thread: bool = True
    """Whether a function that is not `async` gets a thread. Without one a call costs less, but one that blocks holds up
    the whole process, and `timeout` has no effect: for functions that only compute."""
    check_interval: Duration = Field(default=1.0, gt=0)
    """How often the file is looked at for changes."""

    def __hash__(self) -> int:
        return hash((self.file, self.function))


class PythonProcessor:
    """Gives each batch to the function, and forwards what becomes of it."""

    def __init__(self, config: PythonConfig, context: Context, next: Consumer) -> None:
        self._config = config
        self._context = context
        self._next = next
        self._stamp = stamp_of([config.file])
        self._life = Life(self._first(), context)
        self._failures = Failures(context)
        self._calls = Worker(f"{context.id} call", context.clock, config.timeout)
        self._loads = Worker(f"{context.id} load", context.clock, _LOADING)
        self._tasks = asyncio.TaskGroup()
        self._stack = AsyncExitStack()
        self.reloads = 0
        scope, name = context.telemetry, "sluiceway_python"
        scope.counter(f"{name}_reloads", lambda: self.reloads, "", "Changed files taken up.", processor=context.id)
        scope.gauge(
            f"{name}_stuck_threads", lambda: self._calls.stuck, "", "Threads in calls that took too long.",
            processor=context.id,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._tasks.__aenter__()
            stack.push_async_callback(self._tasks.__aexit__, None, None, None)
            await stack.enter_async_context(self._calls)
            await stack.enter_async_context(self._loads)
            await self._life.begin(self._tasks)
            stack.callback(self._end)
            following = self._tasks.create_task(self._follow(), name=f"{self._context.id} follow")
            stack.callback(following.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _end(self) -> None:
        self._life.end()  # which life that is, a reload may have changed

    async def consume(self, batch: Batch) -> None:
        """Forward what the function makes of the batch. Raises when it fails and `error_mode` is `refuse`."""
        try:
            edited = await self._call(batch)
        except SluicewayError:
            raise  # the function's own answer to the sender
        except Exception as error:  # noqa: BLE001 - the user's own code may raise anything
            if not self._passes(batch, error):
                return
            edited = batch
        else:
            self._failures.over()
        if edited.items or edited is batch:
            await self._next.consume(edited)
        self._context.drop(batch.items - edited.items, Reason.FILTERED, intended=True)

    async def _call(self, batch: Batch) -> Batch:
        with self._life.used() as program:
            call = _Call(batch, program, self._config.per)
            try:
                if program.is_async:
                    return await self._within(call)
                return await self._calls.run(call.run) if self._config.thread else contained(call.run)
            finally:
                call.close()

    async def _within(self, call: _Call) -> Batch:
        try:
            async with self._context.clock.timeout(self._config.timeout) as scope:
                return await call.run_async()
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise OverrunError(f"it took longer than {self._config.timeout:g} s") from error
        except (SystemExit, KeyboardInterrupt) as error:
            raise EscapedError(f"{error.__class__.__name__} was raised") from error

    def _passes(self, batch: Batch, error: Exception) -> bool:
        """Account for a batch that the function has failed on: whether it passes as it came. Or raise."""
        name = self._config.function
        self._failures.add(name, error)
        if self._config.error_mode in ("pass", "ignore"):
            return True
        if self._config.error_mode == "drop":
            self._context.drop(batch.items, Reason.INTERNAL_ERROR)
            return False
        text = f'{self._context.kind} "{self._context.id}" failed'
        if isinstance(error, OSError | OverrunError | StuckError):
            raise RetryableError(text) from error
        raise PermanentError(text) from error

    def _first(self) -> Program:
        try:
            return bounded(self._load, _LOADING)
        except (OverrunError, EscapedError) as error:
            raise ConfigError(f"{Path(self._config.file).name} cannot be imported: {error}") from error

    def _load(self) -> Program:
        config = self._config
        return load(config.file, config.function, config.settings, config.per)

    async def _follow(self) -> None:
        while True:
            await self._context.clock.sleep(self._config.check_interval)
            stamp = stamp_of([self._config.file])
            if stamp != self._stamp:
                self._stamp = stamp
                await self._reload()

    async def _reload(self) -> None:
        """Put the changed file in force, or say why that cannot be."""
        try:
            life = Life(await self._loads.run(self._load), self._context)
            async with self._context.clock.timeout(_LOADING):
                await life.begin(self._tasks)
        except (ConfigError, OverrunError, StuckError) as error:
            self._failures.broken(f"{error}; what the file held before stays in force")
        except Exception as error:  # noqa: BLE001 - entering the user's class may raise anything
            self._failures.broken(f"{error.__class__.__name__}: {error}; what the file held before stays in force")
        else:
            before, self._life = self._life, life
            before.end()
            self.reloads += 1
            self._failures.mended()
            self._context.logger.info("reloaded %s", self._config.file)


class _Call:
    """One batch in the function's hands."""

    def __init__(self, batch: Batch, program: Program, per: str) -> None:
        self._view = BatchView(batch)
        self._program = program
        self._is_single = per == "item"

    def close(self) -> None:
        """Whatever still holds a view can do nothing with it."""
        self._view.close()

    def run(self) -> Batch:
        call = self._program.call
        for given in self._view.items if self._is_single else (self._view,):
            self._check(call(given), given)
        return self._view.finish()

    async def run_async(self) -> Batch:
        call = self._program.call
        for given in self._view.items if self._is_single else (self._view,):
            self._check(await call(given), given)
        return self._view.finish()

    def _check(self, answer: object, given: object) -> None:
        if answer is not None and answer is not given:
            if asyncio.iscoroutine(answer):
                answer.close()
                raise TypeError(f"{self._program.name} gave a coroutine: define it with async def")
            raise TypeError(f"{self._program.name} must return None: it changes what it is given")


COMPONENT = Component(
    type="python",
    kind=Kind.PROCESSOR,
    config=PythonConfig,
    create=PythonProcessor,
    stability=Stability.BETA,
)
