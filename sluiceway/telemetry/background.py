"""Blocking calls into the OpenTelemetry SDK, kept off the event loop and out of the way of an exit.

They run in daemon threads: those of an executor are waited for when the process ends, however long a backend hangs.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

__all__ = ["LAST_PUSH", "Background", "call_within"]

LAST_PUSH: Final = 3.0
"""Seconds that sending what is left may take at the end, for each of our own logs, metrics and traces."""

_log = logging.getLogger(__name__)


def call_within(call: Callable[[], object], seconds: float) -> bool:
    """Call, and return once that has ended or the seconds are over; say whether it has ended."""
    thread = threading.Thread(target=_guarded(call), daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


class Background:
    """A call that runs in a thread of its own, as a task of the event loop sees it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._call = _guarded(call)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the call has ended, however it did."""
        return not self._thread.is_alive()

    async def wait(self, seconds: float) -> bool:
        """Return once the call has ended or the seconds are over (0: no limit); say whether it has ended."""
        try:
            async with asyncio.timeout(seconds or None):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    def _run(self) -> None:
        self._call()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._over.set)


def _guarded(call: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - it is logged; own telemetry must not end what it tells of
            _log.exception("Sending our own telemetry failed")

    return run
