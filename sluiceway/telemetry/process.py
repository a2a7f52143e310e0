"""The process's own metrics: uptime, CPU and memory, under the Collector's names.

`runtime_heap_alloc_bytes` is the memory that only this process has (resident less shared) and
`runtime_total_sys_memory_bytes` what it has mapped for data. CPython does not count all bytes ever allocated, so
`runtime_total_alloc_bytes` is the memory that the system has handed out to the process page by page: what is freed and
used again inside the process does not count twice.
"""

from __future__ import annotations

import os
import sys
import time

from sluiceway.telemetry.metrics import Scope

__all__ = ["observe_process"]


def observe_process(scope: Scope) -> None:
    """Add the metrics of this process to `scope`."""
    started = time.monotonic()
    for name, read, unit, description in (
        ("uptime", lambda: time.monotonic() - started, "s", "Uptime of the process"),
        ("cpu_seconds", time.process_time, "s", "Total CPU user and system time in seconds"),
        ("runtime_total_alloc_bytes", _handed_out, "By", "Memory that the system has handed out since the start"),
    ):
        scope.counter(f"otelcol_process_{name}", read, unit, description)
    for name, read_bytes, description in (
        ("memory_rss", _resident, "Total physical memory (resident set size)"),
        ("runtime_heap_alloc_bytes", _private, "Resident memory that only this process has"),
        ("runtime_total_sys_memory_bytes", _mapped, "Memory mapped for data and stacks"),
    ):
        scope.gauge(f"otelcol_process_{name}", read_bytes, "By", description)


def _handed_out() -> int:
    # Every page that is touched for the first time is a minor fault; pages of shared files are among them.
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().num_page_faults) * 4096
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize()


if sys.platform == "linux":
    _PAGE = os.sysconf("SC_PAGE_SIZE")

    def _pages() -> list[int]:
        # proc_pid_statm(5): size resident shared text lib data dt, in pages
        descriptor = os.open("/proc/self/statm", os.O_RDONLY)
        try:
            return [int(word) for word in os.read(descriptor, 128).split()]
        finally:
            os.close(descriptor)

    def _resident() -> int:
        return _pages()[1] * _PAGE

    def _private() -> int:
        pages = _pages()
        return (pages[1] - pages[2]) * _PAGE

    def _mapped() -> int:
        return _pages()[5] * _PAGE

else:

    def _resident() -> int:
        import psutil

        return int(psutil.Process().memory_info().rss)

    def _private() -> int:
        import psutil

        return int(psutil.Process().memory_full_info().uss)

    def _mapped() -> int:
        import psutil

        return int(psutil.Process().memory_info().vms)
