"""All attempts, at length: `make test-durability`. `python -m tests.durability kills 5000` runs one of them, longer."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.durability import collectors, crashes, damage, faults
from tests.segments.records import KEYS

ATTEMPTS: dict[str, Callable[[Path, int], str]] = {
    "cuts": lambda folder, _: damage.cut_at_every_byte(folder),
    "cuts, encrypted": lambda folder, _: damage.cut_at_every_byte(folder, KEYS),
    "flips": lambda folder, _: damage.flip(folder),
    "flips, encrypted": lambda folder, _: damage.flip(folder, KEYS, every=3),
    "faults": lambda folder, _: faults.each_operation_fails(folder, lasting=False),
    "lasting faults": lambda folder, _: faults.each_operation_fails(folder, lasting=True),
    "full disk": lambda folder, _: faults.full_disk(folder),
    "kills": lambda folder, times: crashes.kills(folder, times or 1_200, seed=int(time.time())),
    "power cuts": lambda folder, times: crashes.power_cuts(folder, times or 200, seed=int(time.time())),
    "power cuts without sync": lambda folder, times: crashes.power_cuts(folder, times or 20, sync=False),
    "collectors": lambda folder, times: collectors.kills(folder, times or 20),
}


def main() -> int:
    """Run those that are named, or all; say what each did, and whether one failed."""
    logging.getLogger("sluiceway").setLevel(logging.CRITICAL)
    wanted = [name for name in ATTEMPTS if not sys.argv[1:] or name in sys.argv[1:]]
    times = next((int(word) for word in sys.argv[1:] if word.isdigit()), 0)
    failures = 0
    for name in wanted:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                told = ATTEMPTS[name](Path(folder) / "attempt", times)
            except AssertionError as error:
                told, failures = f"FAILED: {error}", failures + 1
        print(f"{name:<24}{told}  ({time.monotonic() - began:.0f} s)", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
