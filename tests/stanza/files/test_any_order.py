"""Whatever happens in whatever order, the same lines come out."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stanza.files.machine import Reading, rotate_by_copy, rotate_by_name

STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 60)),
    st.tuples(st.just("write"), st.integers(1, 4000)),
    st.just(("rename", 0)),
    st.just(("copy", 0)),
    st.just(("half copy", 0)),
    st.just(("short copy", 0)),
    st.just(("poll", 0)),
    st.just(("wait", 0)),
    st.just(("restart", 0)),
    st.just(("kill before", 0)),
    st.just(("kill after", 0)),
)


class Log:
    """A log of numbered lines, of which any number of bytes is written at a time, a whole line before a rotation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self.rest = b""

    def write(self, size: int) -> None:
        data = self.rest
        while len(data) < size:
            self.lines.append(f"{len(self.lines)} {'x' * (len(self.lines) * 7 % 50)}.")
            data += self.lines[-1].encode() + b"\n"
        self.append(data[:size])
        self.rest = data[size:]

    def finish(self) -> None:
        self.append(self.rest)
        self.rest = b""

    def copy_slowly(self, reading: Reading, *, whole: bool) -> None:
        """Copy, and truncate later: what is written and read between the two is in the copy, or it is not."""
        self.finish()
        copy = Path(f"{self.path}.{1000 + len(self.lines)}")
        copy.write_bytes(self.path.read_bytes())
        reading.poll()
        self.write(20)
        self.finish()
        reading.poll()
        if whole:
            copy.write_bytes(self.path.read_bytes())
        self.path.write_bytes(b"")

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)


@given(st.lists(STEPS, max_size=30))
@settings(max_examples=250, deadline=None)
def test_any_order_of_writes_rotations_and_restarts_gives_the_same_lines(steps) -> None:
    """No line is lost; none comes twice but those of the batch that was under way when the process was killed."""
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder) / "app.log")
        log.path.touch()
        reading = Reading(f"{{include: ['{folder}/app.log*'], start_at: beginning, force_flush_period: 0s}}")
        maybe_twice: Counter[object] = Counter()
        for step, size in steps:
            match step:
                case "write":
                    log.write(size)
                case "rename":
                    log.finish()
                    rotate_by_name(log.path)
                case "copy":
                    log.finish()
                    rotate_by_copy(log.path)
                case "half copy" | "short copy":
                    log.copy_slowly(reading, whole=step == "half copy")
                case "poll":
                    reading.poll()
                case "wait":
                    reading.poll(20)
                    reading.poll(100)
                case "restart":
                    reading.stop()
                    reading.start()
                case "kill before":
                    reading.look()
                    reading.read()
                    reading.stop()
                    reading.start()
                case "kill after":
                    reading.look()
                    pieces = reading.read()
                    reading.deliver(pieces)
                    maybe_twice.update(entry.body for piece in pieces for entry in piece.entries)
                    reading.stop()
                    reading.start()
        log.finish()
        reading.poll()
        reading.poll()
        reading.stop()
    counts = Counter(reading.bodies)
    assert set(log.lines) - set(counts) == set()
    assert counts - Counter(log.lines) - maybe_twice == Counter()
