"""A thread for code that is not ours: calls one after the other, each with a time, none of which can hold up the loop.

A thread cannot be ended from outside. A call that overruns is therefore given up: its thread gets an exception, which
code in Python notices and a blocking call into C does only when it returns, and does nothing more; another thread goes
on with what waits. Of threads that were given up and still run there are at most `LIMIT`.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from sluiceway.component import Clock
from sluiceway.errors import RefusedError

__all__ = ["LIMIT", "MOST_WAITING", "EscapedError", "OverrunError", "StuckError", "Worker", "bounded", "contained"]

LIMIT: Final = 4
"""How many threads may be stuck before calls are refused."""

MOST_WAITING: Final = 256
"""How many calls may wait or be under way; those beyond are refused, to come again."""

T = TypeVar("T")


class OverrunError(Exception):
    """A call took longer than it may."""


class StuckError(Exception):
    """No call is begun: too many threads are stuck in earlier ones."""


class EscapedError(Exception):
    """A call raised what would have ended the process, such as `SystemExit`."""


class Interrupt(BaseException):
    """Raised in a call whose time is over. No `except Exception` takes it."""


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Callable[[], T]
    done: asyncio.Future[tuple[T | None, Exception | None]]
    started: float | None = None
    over: threading.Lock = field(default_factory=threading.Lock)
    """Taken once: by the thread when it has an outcome, or by the one who gives the job up."""


class Worker:
    """Runs calls one after the other on a thread of its own, which the first of them starts."""

    def __init__(self, name: str, clock: Clock, timeout: float) -> None:
        self._name = name
        self._clock = clock
        self._timeout = timeout
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._waiting = 0
        self._is_closed = False
        self._finished = asyncio.Event()
        self._running: _Job[Any] | None = None
        self._thread: threading.Thread | None = None
        self._given_up: list[threading.Thread] = []
        self._begun = asyncio.Event()
        self._tasks = asyncio.TaskGroup()

    @property
    def stuck(self) -> int:
        """How many threads still run a call that was given up."""
        self._given_up = [thread for thread in self._given_up if thread.is_alive()]
        return len(self._given_up)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._watching = self._tasks.create_task(self._watch(), name=f"{self._name} watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._jobs.put(None)
        try:
            while self._waiting:  # each still has its time, which the watch bounds
                self._finished.clear()
                await self._finished.wait()
        finally:
            self._watching.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def run(self, work: Callable[[], T]) -> T:
        """Call `work` on the thread; return or raise what it does.

        Raises `OverrunError` when it takes longer than the timeout, which counts from its beginning, `StuckError`, and
        `RefusedError` when too many wait or the worker was left.
        """
        if self._is_closed or self._waiting >= MOST_WAITING:
            raise RefusedError("the processor is stopped" if self._is_closed else "too many batches wait")
        self._require_thread()
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._waiting += 1
        self._jobs.put(job)
        self._begun.set()
        try:
            value, error = await job.done
        finally:
            self._waiting -= 1
            self._finished.set()
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # there is no error, so there is a value

    def _require_thread(self) -> None:
        if self._thread is None:
            if self.stuck >= LIMIT:
                raise StuckError(f"{LIMIT} calls that took too long are still running")
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        """What the thread does until it is given up or sent home."""
        with suppress(Interrupt):
            while (job := self._jobs.get()) is not None:
                if job.done.cancelled():
                    continue
                job.started = self._clock.now()
                self._running = job
                outcome = _outcome(job.work)
                if not job.over.acquire(blocking=False):
                    return
                self._running = None
                with suppress(RuntimeError):  # the loop is gone, and nobody waits
                    job.done.get_loop().call_soon_threadsafe(_settle, job, outcome)

    async def _watch(self) -> None:
        while True:
            job = self._running
            if job is not None and job.started is not None:
                left = job.started + self._timeout - self._clock.now()
                if left <= 0:
                    self._give_up(job)
                    await self._clock.sleep(0)  # its thread may be about to say that it has an outcome
                else:
                    await self._clock.sleep(left)
            elif self._waiting:
                await self._clock.sleep(self._timeout)
            else:
                self._begun.clear()
                await self._begun.wait()

    def _give_up(self, job: _Job[Any]) -> None:
        if not job.over.acquire(blocking=False):
            return  # it has an outcome after all
        thread, self._thread, self._running = self._thread, None, None
        assert thread is not None  # noqa: S101 - it runs the job
        _interrupt(thread)
        self._given_up.append(thread)
        _settle(job, (None, OverrunError(f"it took longer than {self._timeout:g} s")))
        if not self._jobs.empty():
            try:
                self._require_thread()
            except StuckError as error:
                self._refuse_waiting(error)

    def _refuse_waiting(self, error: StuckError) -> None:
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                _settle(job, (None, error))


def contained(work: Callable[[], T]) -> T:
    """Call `work`; raise what would end the process or the thread, such as `SystemExit`, as `EscapedError`."""
    try:
        return work()
    except Exception:
        raise
    except BaseException as error:
        raise EscapedError(f"{error.__class__.__name__} was raised") from error


def bounded(work: Callable[[], T], seconds: float) -> T:
    """Call `work` on a thread of its own, and wait for it; return or raise what it does.

    Raises `OverrunError` when it takes longer, and `EscapedError`.
    """
    outcomes: list[tuple[T | None, Exception | None]] = []

    def serve() -> None:
        with suppress(Interrupt):
            outcomes.append(_outcome(work))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcomes:
        _interrupt(thread)
        raise OverrunError(f"it took longer than {seconds:g} s")
    ((value, error),) = outcomes
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # there is no error, so there is a value


def _interrupt(thread: threading.Thread) -> None:
    """Send a thread an exception, where that does no harm.

    While CPython 3.11 traces a thread, for a debugger or for coverage, it begins the same function again and again as
    long as an exception waits for another thread, which is for ever when that thread is blocked in C.
    """
    if thread.ident is not None and (sys.version_info >= (3, 12) or sys.gettrace() is None):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupt))


def _outcome(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return contained(work), None
    except Exception as error:  # noqa: BLE001 - raised again where the call was asked for
        return None, error


def _settle(job: _Job[T], outcome: tuple[T | None, Exception | None]) -> None:
    if not job.done.done():
        job.done.set_result(outcome)
