"""Shows batches on the terminal or in the log, for people who look; it never sends anything anywhere.

`basic` is a line a batch with counts, `normal` about a line an item, `detailed` everything, in the Collector's form.
Control characters in telemetry are escaped, so that no line can be forged and no terminal be led astray. A batch that
was not shown because of sampling counts as delivered. Data that cannot be written, say on a full disk, is dropped.
A batch of more than half a million lines is shown up to there.

It parses every batch that it shows, which costs a hundred times what forwarding does: sample, or take it out, where
there is load. With `use_internal_logger: false` the text goes to `output_paths`, with colour on a terminal unless
`NO_COLOR` is set.

```yaml
exporters:
  debug:
    verbosity: detailed
    use_internal_logger: false
```
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from sluiceway.component import Clock, Component, Context, Kind, Stability
from sluiceway.config.exporter import SendingQueue
from sluiceway.config.types import AnyCase, OutputPaths, Section, Settings
from sluiceway.errors import ConfigError, PermanentError
from sluiceway.exporters.debug.counts import counts
from sluiceway.exporters.debug.output import Output
from sluiceway.exporters.debug.values import block
from sluiceway.otlp import Batch, Signal
from sluiceway.telemetry.logs import timestamp

__all__ = ["COMPONENT", "DebugConfig", "DebugExporter"]

Shown = tuple[str, dict[str, int], str]
"""The title, the counts, and the lines of a batch."""

_MOST_LINES: Final = 500_000  # two seconds' work and 100 MiB, more than anybody reads


class DebugConfig(Settings):
    """The settings of `debug`."""

    verbosity: Annotated[Literal["basic", "normal", "detailed"], AnyCase()] = "basic"
    """How much is shown of each batch."""
    sampling_initial: int = Field(default=2, ge=0)
    """How many batches of each signal are shown in every second, before sampling begins."""
    sampling_thereafter: int = Field(default=1, ge=0)
    """Of the further ones in that second every so many-th is shown; 0 shows none."""
    use_internal_logger: bool = True
    """Whether batches are shown in Sluiceway's own log, rather than at `output_paths`."""
    output_paths: OutputPaths = ("stdout",)
    """`stdout`, `stderr` or files to append to. Only with `use_internal_logger: false`."""
    sending_queue: Section[SendingQueue] = None
    """The queue that takes responsibility for batches; off."""

    @model_validator(mode="after")
    def _check_output(self) -> Self:
        if self.use_internal_logger and self.output_paths != ("stdout",):
            raise ValueError("output_paths is not supported when use_internal_logger is true")
        if not self.output_paths:
            raise ValueError("output_paths must not be empty when use_internal_logger is false")
        return self


class DebugExporter:
    """Renders batches in a thread, so that a terminal that has stopped holds up the senders and nothing else."""

    def __init__(self, config: DebugConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._samplers = {
            signal: _Sampler(context.clock, config.sampling_initial, config.sampling_thereafter)
            for signal in context.signals
        }
        self._output: Output | None = None

    async def __aenter__(self) -> Self:
        if not self._config.use_internal_logger:
            try:
                self._output = Output(self._config.output_paths)
            except OSError as error:
                raise ConfigError(f"output_paths: cannot open {error.filename}: {error.strerror}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._output is not None:
            self._output.close()

    async def consume(self, batch: Batch) -> None:
        """Show the batch, and return when it has been written."""
        if not self._samplers[batch.signal].is_next_shown():
            return
        try:
            title, fields, lines = await asyncio.to_thread(self._show, batch)
        except OSError as error:
            raise PermanentError(f"cannot write: {error.strerror}") from error
        if self._output is None:
            # The logger is not to sample what has been sampled already.
            self._context.logger.info(title, extra={**fields, "block": lines, "_sampled": True})

    def _show(self, batch: Batch) -> Shown:
        message = batch.proto()
        title, fields = counts(batch, message)
        lines = block(_bounded(_lines(self._config.verbosity, batch.signal, message)))
        if self._output is not None:
            when = timestamp(self._context.clock.time_ns() / 1e9)
            self._output.write(f"{when}\tinfo\t{title}\t{json.dumps(fields)}", lines)
        return title, fields, lines


class _Sampler:
    """In each second lets the first `initial` pass, and then every `thereafter`-th."""

    def __init__(self, clock: Clock, initial: int, thereafter: int) -> None:
        self._clock, self._initial, self._thereafter = clock, initial, thereafter
        self._second, self._seen = -1, 0

    def is_next_shown(self) -> bool:
        second = int(self._clock.now())
        if second != self._second:
            self._second, self._seen = second, 0
        self._seen += 1
        beyond = self._seen - self._initial
        return beyond <= 0 or (self._thereafter > 0 and beyond % self._thereafter == 0)


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    remaining = iter(lines)
    yield from islice(remaining, _MOST_LINES)
    if next(remaining, None) is not None:
        yield f"(the rest is not shown: more than {_MOST_LINES:,} lines)"


def _lines(verbosity: str, signal: Signal, message: Any) -> Iterable[str]:
    if verbosity == "normal":
        from sluiceway.exporters.debug.normal import normal

        return normal(signal, message)
    if verbosity == "detailed":
        from sluiceway.exporters.debug.detailed import detailed

        return detailed(signal, message)
    return ()


COMPONENT = Component(
    type="debug",
    kind=Kind.EXPORTER,
    config=DebugConfig,
    create=DebugExporter,
    stability=Stability.BETA,
)
