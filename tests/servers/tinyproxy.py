"""tinyproxy, a forward proxy, as a process in a folder of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.servers import program
from tests.servers.web import listening

__all__ = ["forward_proxy"]


@contextmanager
def forward_proxy(folder: Path, more: str = "") -> Iterator[int]:
    """Run a proxy that lets all through; its port. What it did is in `folder/log`."""
    binary = program("tinyproxy", "tinyproxy", "/usr/bin/tinyproxy")
    port = free_port()
    (folder / "conf").write_text(f'Port {port}\nListen 127.0.0.1\nLogFile "{folder}/log"\nLogLevel Connect\n{more}\n')
    with subprocess.Popen([binary, "-d", "-c", folder / "conf"], stdout=subprocess.DEVNULL) as process:
        try:
            listening(port, process)
            yield port
        finally:
            process.terminate()
