"""A program that logs: numbered lines to one file, as fast as it is told, until it has written all.

    python -m tests.receivers.file_log.writer FILE LINES MODE LOCK

In the mode `reopen` it opens the file anew every tenth of a second, as a daemon that is told to by a signal does;
until then it goes on writing to the file that was renamed. In the mode `keep` it keeps the file open. Each write is
made while it holds the lock, so that whoever takes it sees no write between two steps of his own.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

CHUNK = 100
REOPEN = 0.1
PAUSE = 0.002


def main(path: str, lines: int, mode: str, lock: str) -> None:
    """Write all lines."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    log, opened = os.open(path, flags, 0o644), time.monotonic()
    guard = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    for start in range(0, lines, CHUNK):
        if mode == "reopen" and time.monotonic() - opened > REOPEN:
            os.close(log)
            log, opened = os.open(path, flags, 0o644), time.monotonic()
        fcntl.flock(guard, fcntl.LOCK_EX)
        os.write(log, b"".join(b"%08d GET /some/where 200 of a line that is long enough\n" % n
                               for n in range(start, min(start + CHUNK, lines))))  # fmt: skip
        fcntl.flock(guard, fcntl.LOCK_UN)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
