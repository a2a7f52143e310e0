"""What is told of failures: in metrics each, in health the state, in the log not more often than somebody can read."""

from __future__ import annotations

from typing import Final

from sluiceway.component import Context, Status
from sluiceway.processors.python.worker import OverrunError, StuckError

__all__ = ["Failures"]

_PAUSE: Final = 10.0
"""Seconds for which the same processor's failures are counted and not logged, after one that was."""


class Failures:
    """Counts the calls that failed, and knows whether the file in force is the newest one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._counts = {"error": 0, "timeout": 0, "stuck": 0}
        self._silent_until = float("-inf")
        self._unsaid = 0
        self._file = ""
        self._call = ""
        for kind in self._counts:
            context.telemetry.counter(
                "sluiceway_python_failures", lambda kind=kind: self._counts[kind], "{batch}",  # type: ignore[misc]
                "Batches that the function failed on.", processor=context.id, kind=kind,
            )  # fmt: skip

    def add(self, name: str, error: Exception) -> None:
        """Count a call that failed."""
        kind = {OverrunError: "timeout", StuckError: "stuck"}.get(type(error), "error")
        self._counts[kind] += 1
        self._log(name, error)
        self._report(call=f"{name} failed: {error if kind != 'error' else error.__class__.__name__}")

    def over(self) -> None:
        """A call went well."""
        if self._call:
            self._report(call="")

    def broken(self, problem: str) -> None:
        """A changed file cannot be used. Why goes to the log only: health checks may be open to anybody."""
        self._context.logger.error("the changed file cannot be used: %s", problem)
        self._report(file="the changed file cannot be used, the log says why")

    def mended(self) -> None:
        """The newest file is in force."""
        self._report(file="")

    def _log(self, name: str, error: Exception) -> None:
        now = self._context.clock.now()
        if now < self._silent_until:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more failures since the last that was logged)" if self._unsaid else ""
        self._context.logger.error("%s failed%s", name, more, exc_info=error)
        self._silent_until = now + _PAUSE
        self._unsaid = 0

    def _report(self, *, file: str | None = None, call: str | None = None) -> None:
        self._file = self._file if file is None else file
        self._call = self._call if call is None else call
        problems = [problem for problem in (self._file, self._call) if problem]
        if problems:
            self._context.report(Status.RECOVERABLE_ERROR, "; ".join(problems))
        else:
            self._context.report(Status.OK)
