"""A real journal: systemd-journal-remote writes what it is given in systemd's export format, for journalctl to read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.servers import program

__all__ = ["Journal", "journal"]


class Journal:
    """A journal file that grows."""

    def __init__(self, path: Path, process: asyncio.subprocess.Process) -> None:
        self.path = path
        self._process = process
        self._last = int(time.time() * 1e6)

    async def write(self, message: str | bytes, **fields: str) -> int:
        """Add an entry, and return its time in microseconds; times only grow."""
        self._last += 1
        data = message.encode() if isinstance(message, str) else message
        head = {
            "__REALTIME_TIMESTAMP": str(self._last),
            "__MONOTONIC_TIMESTAMP": str(self._last % 10**9),
            "_BOOT_ID": "0123456789abcdef0123456789abcdef",
            "PRIORITY": "6",
        }
        text = "".join(f"{key}={value}\n" for key, value in (head | fields).items())
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(text.encode() + b"MESSAGE\n" + len(data).to_bytes(8, "little") + data + b"\n\n")
        await stdin.drain()
        return self._last


@asynccontextmanager
async def journal(folder: Path) -> AsyncIterator[Journal]:
    """A new journal in a folder."""
    remote = program("systemd-journal-remote", "systemd-journal-remote", "/lib/systemd/systemd-journal-remote")
    program("journalctl", "systemd")
    path = folder / "test.journal"
    process = await asyncio.create_subprocess_exec(
        str(remote), f"--output={path}", "-", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield Journal(path, process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
