"""What stands between a plain class and the runtime: the contract around its one method."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from sluiceway.component import Consumer, Context, Lifecycle, PartialSuccess, Reason, Status
from sluiceway.errors import PermanentError, RefusedError, RetryableError, SluicewayError
from sluiceway.otlp import Batch
from sluiceway.received import Received

__all__ = ["PlainExporter", "PlainProcessor", "PlainReceiver"]


class PlainExporter:
    """An exporter made of an object with `consume(batch)`, asynchronous or not."""

    def __init__(self, inner: Any, context: Context) -> None:
        self.plain = inner
        """The object itself, as `Collector.component` gives it."""
        self._context = context
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if isinstance(self.plain, Lifecycle):
            await self._stack.enter_async_context(self.plain)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Hand the batch to the object; what it raises goes to retry and queue as from any exporter."""
        try:
            outcome = await _result(self.plain.consume(batch))
        except (SluicewayError, OSError):
            raise
        except Exception as error:
            raise self._failed(error) from error
        return outcome if isinstance(outcome, PartialSuccess) else None

    def _failed(self, error: Exception) -> PermanentError | RetryableError:
        # The user's own code, whose text must not reach senders. But for a network that is away it would fail again.
        self._context.logger.error("%s failed", type(self.plain).__name__, exc_info=error)
        text = f'{self._context.kind} "{self._context.id}" failed'
        return RetryableError(text) if isinstance(error, OSError) else PermanentError(text)


class PlainProcessor(PlainExporter):
    """A processor made of an object whose `consume(batch)` returns what to forward."""

    def __init__(self, inner: Any, context: Context, next: Consumer) -> None:
        super().__init__(inner, context)
        self._next = next

    async def consume(self, batch: Batch) -> None:
        """Forward a batch, several or none. Items that are gone then count as filtered, which was intended."""
        try:
            parts = _parts(await _result(self.plain.consume(batch)), batch)
        except SluicewayError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        await self._forward(parts)
        self._context.drop(batch.items - sum(part.items for part in parts), Reason.FILTERED, intended=True)

    async def _forward(self, parts: list[Batch]) -> None:
        for position, part in enumerate(parts):
            try:
                await self._next.consume(part)
            except SluicewayError as error:
                if position == 0:
                    raise
                # The first part is safe and must not come again, so the whole cannot be given back.
                self._context.logger.warning("%d items were refused after others were taken: %s", part.items, error)
                self._context.drop(part.items, Reason.REJECTED)


async def _result(outcome: Any) -> Any:
    return await outcome if inspect.isawaitable(outcome) else outcome


def _parts(outcome: Any, batch: Batch) -> list[Batch]:
    parts = [outcome] if isinstance(outcome, Batch) else list(outcome or ())
    if not all(isinstance(part, Batch) for part in parts):
        raise TypeError("consume must return a Batch, a list of them or None")
    if sum(part.items for part in parts) > batch.items:
        raise ValueError("consume returned more items than it was given")
    return parts


class PlainReceiver(PlainExporter):
    """A receiver made of an object with `receive(next)` or the asynchronous generator `batches()`.

    It runs in a task of its own from entering to leaving. Leaving waits for what is being consumed, and lets nothing
    more in. When the object's method raises, the receiver is over and its status says so; the process goes on.
    """

    def __init__(self, method: str, inner: Any, context: Context, next: Consumer) -> None:
        super().__init__(inner, context)
        self._work = inner.receive if method == "receive" else self._pump
        self._next = next
        self._received = Received(context)
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._leaving = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._task = group.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        try:
            while self._under_way:
                self._quiet.clear()
                await self._quiet.wait()
        finally:
            if self._task is not None:
                self._task.cancel()
            await super().__aexit__(kind, error, trace)

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Hand a batch to the pipelines, on behalf of the object; returns when it is safe, or raises."""
        if self._leaving:
            await asyncio.Event().wait()  # until the task is cancelled: the batch was not taken
        self._under_way += 1
        try:
            answer = await self._received.push(batch, self._next)
        except BaseException as error:
            self._received.note(error)
            raise
        finally:
            self._under_way -= 1
            self._quiet.set()
        self._received.note()
        return answer

    async def _run(self) -> None:
        try:
            await self._work(self)
        except Exception:
            self._context.logger.exception("the receiver ended with an error")
            self._context.report(Status.PERMANENT_ERROR, "the receiver ended with an error, see the log")

    async def _pump(self, next: Consumer) -> None:
        batches: AsyncIterator[Batch] = self.plain.batches()
        async for batch in batches:
            await self._deliver(batch, next)

    async def _deliver(self, batch: Batch, next: Consumer) -> None:
        while True:
            try:
                await next.consume(batch)
            except (RefusedError, RetryableError) as error:
                await self._context.clock.sleep(error.retry_after or 1.0)
            except SluicewayError as error:
                self._context.logger.warning("%d items were refused for good: %s", batch.items, error)
                self._context.drop(batch.items, Reason.REJECTED)
                return
            else:
                return
