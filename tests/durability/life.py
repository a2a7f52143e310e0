"""The life of a log that writes, reads and forgets until it is killed, as a process: it prints what it was promised.

    python -m tests.durability.life FOLDER FIRST_NUMBER [--kill N HOW] [--no-sync] [--slowly]

`k 7 8` says that records 7 and 8 are kept, `s 3` that record 3 is about to be acknowledged, and `d sync` that the
process is about to kill itself at that operation. HOW is before, after, or half: in the middle of a write.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
from pathlib import Path
from typing import Any

from sluiceway.segments import Files, Log
from tests.segments.records import Unsynced, record

OPERATIONS = ("create", "open_for_update", "write", "write_at", "sync", "sync_folder", "truncate", "delete", "rename",
              "make_folders", "read", "lock", "close")  # fmt: skip


def say(*words: object) -> None:
    """Print a line at once."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Deadly(Files):
    """Files that kill the process at their n-th operation."""

    def __init__(self, number: int, how: str) -> None:
        left = number

        def deadly(name: str, do: Any) -> Any:
            def call(*arguments: Any) -> Any:
                nonlocal left
                left -= 1
                if left:
                    return do(*arguments)
                say("d", name)
                try:
                    if how == "after":
                        do(*arguments)
                    elif how == "half" and name == "write":
                        do(arguments[0], arguments[1][: len(arguments[1]) // 2])
                finally:  # it may fail, as when something is put into the quarantine a second time
                    os.kill(os.getpid(), signal.SIGKILL)

            return call

        for name in OPERATIONS:
            setattr(self, name, deadly(name, getattr(super(), name)))


def live(folder: Path, number: int, files: Files) -> None:
    """Write, read and forget without an end."""
    dice = random.Random(number)
    log = Log(folder, files=files, segment_bytes=dice.choice([400, 2_000, 100_000]))
    log.open()
    while True:
        group = [record(n, dice.choice([10, 100, 5_000])) for n in range(number, number + dice.randint(1, 5))]
        number += len(group)
        stored = log.append(group)
        say("k", *(r.notes["n"] for r in group))
        if not log.has_more and dice.random() < 0.5:
            log.hand_out(stored[0])
        found = log.read(dice.choice([1, 300, 20_000]))
        done = [s for s in found if dice.random() < 0.8]
        if done:
            say("s", *(s.record.notes["n"] for s in done))
        log.acknowledge([s.position for s in done])
        log.save(now=dice.random() < 0.3)


def main() -> None:
    """Live as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("number", type=int)
    parser.add_argument("--kill", nargs=2, default=None)
    parser.add_argument("--no-sync", action="store_true")
    given = parser.parse_args()
    files: Files = Unsynced() if given.no_sync else Files()
    if given.kill is not None:
        files = Deadly(int(given.kill[0]), given.kill[1])
    live(given.folder, given.number, files)


if __name__ == "__main__":
    main()
