"""Waiting that something else than time can end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import isinf

from sluiceway.component import Clock

__all__ = ["pause"]


async def pause(clock: Clock, seconds: float, event: asyncio.Event) -> None:
    """Wait for `seconds` (which may be infinite) or until `event` is set, whichever comes first."""
    with suppress(TimeoutError):
        async with clock.timeout(None if isinf(seconds) else seconds):
            await event.wait()
