"""Damaged files: a record that cannot be read costs itself, and is counted and logged with where it stands."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.config.decompression import decompress
from sluiceway.errors import SenderError
from sluiceway.otlp import Signal, accept
from sluiceway.otlp.json import decode
from sluiceway.receivers.file.framing import Lines, Sized
from sluiceway.receivers.file.records import Decoder
from sluiceway.telemetry import Scope
from sluiceway.testing import MemorySink, items
from tests.receivers.file.reading import line, payloads, receiver, sized, write
from tests.receivers.records import until

BATCHES = [items(Signal.TRACES, 1 + n, service=f"service-{n}") for n in range(6)]
LIMIT = 1024 * 1024


async def replay(path: Path, caplog: pytest.LogCaptureFixture, more: str = "") -> tuple[list[bytes], list[int], float]:
    """What is read of a file, the offsets of what is damaged, and how many of it were counted."""
    sink, statuses, scope = MemorySink(), [], Scope()
    report = {"report": lambda status, message="": statuses.append(message), "telemetry": scope}
    async with receiver(f"path: '{path}'{more}", sink, **report):
        await until(lambda: any("everything was read" in text for text in statuses))
    logged = [re.search(r"offset (\d+)", record.getMessage()) for record in caplog.records]
    damaged = scope.metrics.read("sluiceway_receiver_file_damaged_records")
    return payloads(sink.batches), [int(found[1]) for found in logged if found], damaged


@pytest.mark.parametrize("bad", [b"nonsense\n", b'{"resourceSpans": 1}\n', b'{"other": []}\n', b"\xff\xfe\n", b'"x"\n'])
async def test_a_damaged_line_costs_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: bytes) -> None:
    """Whatever it is."""
    path = tmp_path / "a"
    write(path, line(BATCHES[0]), bad, line(BATCHES[1]), bad, line(BATCHES[2]))
    found, offsets, counted = await replay(path, caplog)
    assert found == payloads(BATCHES[:3])
    assert offsets == [len(line(BATCHES[0])), len(line(BATCHES[0]) + bad + line(BATCHES[1]))]
    assert counted == 2


@pytest.mark.parametrize("zstd", [False, True])
async def test_a_damaged_message_costs_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture, zstd: bool) -> None:
    """Its length leads to the next one."""
    whole = [sized(batch.payload, zstd=zstd) for batch in BATCHES]
    bad = whole[2][:20] + b"\xff" * 20 + whole[2][40:]
    write(tmp_path / "a", *whole[:2], bad, *whole[3:])
    found, offsets, counted = await replay(tmp_path / "a", caplog)
    assert found == payloads(BATCHES[:2] + BATCHES[3:])
    assert (offsets, counted) == ([len(whole[0] + whole[1])], 1)


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\0\0\x01\0", b"\0\x40\0\0", b"\x20\0\0\0"])
@pytest.mark.parametrize("zstd", [False, True])
async def test_a_damaged_length_costs_its_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, length: bytes, zstd: bool
) -> None:
    """The next sound one is looked for."""
    whole = [sized(batch.payload, zstd=zstd) for batch in BATCHES]
    write(tmp_path / "a", *whole[:2], length + whole[2][4:], *whole[3:])
    found, offsets, counted = await replay(tmp_path / "a", caplog)
    assert found == payloads(BATCHES[:2] + BATCHES[3:])
    assert (offsets, counted) == ([len(whole[0] + whole[1])], 1)


@pytest.mark.parametrize("kept", [1, 3, 4, 5, 100])
async def test_half_a_message_in_the_middle(tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: int) -> None:
    """As a crash leaves it before a program that does not look appends more."""
    whole = [sized(batch.payload) for batch in BATCHES]
    write(tmp_path / "a", *whole[:3], whole[3][:kept], *whole[4:])
    found, _, counted = await replay(tmp_path / "a", caplog)
    assert found == payloads(BATCHES[:3] + BATCHES[4:])
    assert counted == 1


def test_half_a_record_is_not_given_up_for_what_stands_in_it() -> None:
    """Its rest may come: bytes that only look like the length and the beginning of a record are none."""
    looks_like_one = b"\0\0\0\3\nxx" + b"\0\0\0\4\n"
    half = b"\0\1\0\0" + b"\n" * 100 + looks_like_one
    sound = Sound()
    cut = Sized(LIMIT).cut(half, sound, is_all=True, is_last=True, skipping=False)
    assert (cut.end, cut.damaged, sound.taken) == (0, [], [])


@pytest.mark.parametrize("lines", [True, False])
async def test_half_a_record_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture, lines: bool) -> None:
    """It is counted and not read; a whole line without an end is read."""
    make = line if lines else lambda batch: sized(batch.payload)
    write(tmp_path / "a", *map(make, BATCHES[:2]), make(BATCHES[2])[:-30])
    found, offsets, counted = await replay(tmp_path / "a", caplog)
    assert found == payloads(BATCHES[:2])
    assert (offsets, counted) == ([len(b"".join(map(make, BATCHES[:2])))], 1)
    write(tmp_path / "b", line(BATCHES[0]), line(BATCHES[1])[:-1])
    assert (await replay(tmp_path / "b", caplog))[0] == payloads(BATCHES[:2])


async def test_zeros_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As a power cut leaves them: they are nothing."""
    write(tmp_path / "a", sized(*payloads(BATCHES)), bytes(100_000))
    found, _, counted = await replay(tmp_path / "a", caplog)
    assert (found, counted) == (payloads(BATCHES), 0)


async def test_a_record_that_is_too_large_costs_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also where it does not end for long."""
    large = items(Signal.TRACES, 9000)
    write(tmp_path / "a", line(BATCHES[0]), line(large), line(BATCHES[1]))
    found, offsets, counted = await replay(tmp_path / "a", caplog, ", max_record_size: 20KiB")
    assert (found, offsets, counted) == (payloads(BATCHES[:2]), [len(line(BATCHES[0]))], 1)
    caplog.clear()
    write(tmp_path / "b", sized(BATCHES[0].payload, large.payload, BATCHES[1].payload))
    found, offsets, counted = await replay(tmp_path / "b", caplog, ", max_record_size: 20KiB")
    assert (found[0], found[-1]) == (BATCHES[0].payload, BATCHES[1].payload)
    assert counted


async def test_a_bomb_is_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A record that would be too large when it is decompressed is not decompressed."""
    write(tmp_path / "a", sized(bytes(10_000_000), BATCHES[0].payload, zstd=True))
    found, offsets, counted = await replay(tmp_path / "a", caplog, ", max_record_size: 1MiB")
    assert (found, offsets, counted) == ([BATCHES[0].payload], [0], 1)


def test_what_else_stands_in_a_line_takes_no_memory() -> None:
    """In front of the key that says which signal it is: no Python object is made of it."""
    record = b'{"x": [' + b"{}," * 500_000 + b'{}], "resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}'
    decoder = Decoder(frozenset({Signal.TRACES}), lambda: 0.0, format="json", compression="none", limit=LIMIT)
    tracemalloc.start()
    try:
        batch = decoder.decode(record)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert batch is not None
    assert batch.items == 1
    assert peak < 3 * len(record)


class Sound:
    """Takes what is sound, one at a time where it is `sated` by it."""

    def __init__(self, *, sated: bool = False) -> None:
        self.taken: list[bytes] = []
        self._sated = sated

    @property
    def is_full(self) -> bool:
        """Whether it has enough for now."""
        return self._sated and bool(self.taken)

    def take(self, record: bytes) -> str:
        """Take a record, if it is one."""
        try:
            raw = decompress("zstd", record, LIMIT) if record.startswith(b"\x28\xb5\x2f\xfd") else record
            raw = decode(Signal.TRACES, raw) if raw.startswith(b"{") else raw
            if raw:
                self.taken.append(accept(Signal.TRACES, raw).payload)
        except SenderError as error:
            return str(error)
        return ""


@given(st.booleans(), st.integers(0, 2000), st.binary(max_size=12), st.integers(0, 12))
def test_whatever_happens_to_a_file_costs_what_it_happens_to(zstd: bool, place: int, new: bytes, old: int) -> None:
    """Bytes are replaced, put in or lost anywhere: every message that they do not touch arrives, but for one."""
    whole = [sized(batch.payload, zstd=zstd) for batch in BATCHES]
    data = b"".join(whole)
    place %= len(data)
    end = place + old
    damaged = data[:place] + new + data[end:]
    starts = [sum(map(len, whole[:n])) for n in range(len(whole))]
    untouched = [n for n, start in enumerate(starts) if start + len(whole[n]) <= place or start >= end]
    sound = Sound()
    cut = Sized(LIMIT).cut(damaged, sound, is_all=True, is_last=True, skipping=False)
    assert cut.end <= len(damaged)
    lost = [n for n in untouched if BATCHES[n].payload not in sound.taken]
    assert len(lost) <= 1


@given(st.binary(max_size=300), st.booleans(), st.booleans(), st.booleans())
def test_any_bytes_are_dealt_with(data: bytes, is_all: bool, is_last: bool, lines: bool) -> None:
    """Cutting comes to an end, and never passes over what may still become a record."""
    framing = Lines(64 * 1024) if lines else Sized(64 * 1024)
    cut = framing.cut(data, Sound(), is_all=is_all, is_last=is_all and is_last, skipping=False)
    assert 0 <= cut.end <= len(data)
    assert cut.end == len(data) or is_all or cut.needs > len(data) - cut.end or len(data) - cut.end < 4


@given(st.lists(st.integers(0, 5), max_size=8), st.booleans(), st.integers(0, 2000), st.binary(max_size=12))
def test_it_does_not_matter_how_often_the_taker_is_full(which: list[int], lines: bool, at: int, new: bytes) -> None:
    """One record at a time is as all at once, through damage as well."""
    make = line if lines else lambda batch: sized(batch.payload)
    data = b"".join(make(BATCHES[n]) for n in which)
    data = data[:at] + new + data[at:]
    framing = Lines(LIMIT) if lines else Sized(LIMIT)
    at_once = Sound()
    end = framing.cut(data, at_once, is_all=True, is_last=True, skipping=False).end
    one_by_one: list[bytes] = []
    place = 0
    while True:
        sated = Sound(sated=True)
        moved = framing.cut(data[place:], sated, is_all=True, is_last=True, skipping=False).end
        place, one_by_one = place + moved, one_by_one + sated.taken
        if not moved:
            break
    assert (one_by_one, place) == (at_once.taken, end)


@pytest.mark.parametrize("zstd", [False, True])
async def test_a_damaged_first_length_does_not_make_lines_of_messages(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, zstd: bool
) -> None:
    """What a file holds is told by more than its first byte: no text has zeros in it."""
    whole = [sized(batch.payload, zstd=zstd) for batch in BATCHES]
    write(tmp_path / "a", b"\xff\xff\xff\xff" + whole[0][4:], *whole[1:])
    found, _, _ = await replay(tmp_path / "a", caplog)
    assert found[-len(BATCHES) + 1 :] == payloads(BATCHES[1:])
