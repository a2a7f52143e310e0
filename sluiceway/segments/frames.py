"""The form of a segment: a header, twice, and then one frame for each record.

    segment   header in 4096 bytes, the same again, frames
    header    magic, id, mark, salt, id of the key, its wrapped key, CRC-32
    frame     mark, CRC-32, number, items, seconds, length of the notes, length of the body, body
    body      notes as JSON (shares, and what the writer wants to know again), payload; encrypted where there is a key

All integers are little-endian. The checksum covers everything of the frame behind itself, and begins with the salt of
the segment. Mark and salt are drawn at random for each segment and are in no payload, so bytes that a sender chose are
never taken for a frame, not even where reading begins anew behind a damage. Numbers of records grow by one.

The last frame of a segment that was ended in order has the number `SEAL`; its notes are the segment's totals.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import orjson
from isal.isal_zlib import crc32

from sluiceway.segments.keyring import TAG_BYTES, Keyring, MissingKeyError, SegmentCipher

__all__ = ["BEGIN", "SEAL", "Damage", "Found", "Header", "Record", "Totals", "encode", "scan"]

MAGIC: Final = b"SLUICEQ1"
BLOCK: Final = 4096
"""What a disk writes, and loses, as a whole."""
BEGIN: Final = 2 * BLOCK
"""Where the first frame stands."""
SEAL: Final = 0xFFFFFFFF
LARGEST: Final = 1 << 30
"""Bytes of a body; what claims to be longer is no frame."""
_HEADER: Final = struct.Struct("<8s8s8sIH64sH64sI")
_FRAME: Final = struct.Struct("<8sIIIIII")
_COVERED: Final = 12
"""Where in a frame the checksum begins to count: behind the mark and itself."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept: the payload, how many items of which pipeline it has, and notes, which JSON can hold.

    `seconds` is when it was accepted, on the wall clock since 1970, whole.
    """

    payload: bytes
    items: int
    shares: tuple[tuple[str, int], ...]
    seconds: int
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """Its bytes."""
        return len(self.payload)


@dataclass(slots=True)
class Totals:
    """What several records add up to; `oldest` is in seconds since 1970, zero where there is none."""

    records: int = 0
    items: int = 0
    bytes: int = 0
    oldest: int = 0
    shares: dict[str, int] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Count one record more."""
        self.include(self.of(record))

    @classmethod
    def of(cls, record: Record) -> Self:
        """Those of one record."""
        return cls(1, record.items, len(record.payload), record.seconds, dict(record.shares))

    def include(self, other: Totals) -> None:
        """Count all that another one has."""
        self.records += other.records
        self.items += other.items
        self.bytes += other.bytes
        if other.oldest and (not self.oldest or other.oldest < self.oldest):
            self.oldest = other.oldest
        for pipeline, items in other.shares.items():
            self.shares[pipeline] = self.shares.get(pipeline, 0) + items

    def less(self, other: Totals) -> Totals:
        """What is left when another one is taken away; nothing below zero."""
        shares = {name: items - other.shares.get(name, 0) for name, items in self.shares.items()}
        return Totals(
            max(self.records - other.records, 0),
            max(self.items - other.items, 0),
            max(self.bytes - other.bytes, 0),
            self.oldest,
            {name: items for name, items in shares.items() if items > 0},
        )


class Header(NamedTuple):
    """What is true of all frames of a segment."""

    id: bytes
    mark: bytes
    salt: int
    key_id: str = ""
    wrapped: bytes = b""
    cipher: SegmentCipher | None = None

    @classmethod
    def make(cls, keyring: Keyring | None) -> Self:
        """The header of a new segment."""
        id, mark, salt = os.urandom(8), os.urandom(8), int.from_bytes(os.urandom(4), "little")
        if keyring is None:
            return cls(id, mark, salt)
        wrapped, cipher = keyring.make(id)
        return cls(id, mark, salt, keyring.current, wrapped, cipher)

    def encode(self) -> bytes:
        """Its bytes, twice, each in a block of its own: a disk loses whole blocks."""
        key_id = self.key_id.encode()
        fields = (MAGIC, self.id, self.mark, self.salt, len(key_id), key_id, len(self.wrapped), self.wrapped)
        block = _HEADER.pack(*fields, 0)
        block = block[:-4] + crc32(block[:-4]).to_bytes(4, "little")
        return block.ljust(BLOCK, b"\0") * 2

    @classmethod
    def decode(cls, data: bytes, keyring: Keyring | None) -> Self:
        """Read it from the beginning of a file. Raises `ValueError` where both are damaged, or `MissingKeyError`."""
        for block in (data[:BLOCK], data[BLOCK:BEGIN]):
            if len(block) < _HEADER.size or crc32(block[: _HEADER.size - 4]) != _last_word(block):
                continue
            magic, id, mark, salt, key_length, key_id, length, wrapped, _ = _HEADER.unpack_from(block)
            if magic != MAGIC:
                continue
            name = key_id[:key_length].decode()
            if not name:
                return cls(id, mark, salt)
            if keyring is None:
                raise MissingKeyError(f'it is encrypted with the key "{name}", and there are no keys')
            return cls(id, mark, salt, name, wrapped[:length], keyring.open(name, wrapped[:length], id))
        raise ValueError("its header is damaged")


def _last_word(block: bytes) -> int:
    return int.from_bytes(block[_HEADER.size - 4 : _HEADER.size], "little")


class Found(NamedTuple):
    """A frame in a segment: from `start` to `end`."""

    start: int
    end: int
    number: int
    record: Record


class Damage(NamedTuple):
    """Bytes of a segment that are no frame: from `start` to `end`."""

    start: int
    end: int


def encode(header: Header, number: int, record: Record) -> tuple[bytes, ...]:
    """The frame of a record, in pieces: the payload is not copied where it is not encrypted."""
    notes = orjson.dumps([record.shares, record.notes])
    return _encode(header, number, record.items, record.seconds, notes, record.payload)


def encode_seal(header: Header, totals: Totals) -> bytes:
    """The frame that ends a segment."""
    return b"".join(_encode(header, SEAL, 0, 0, orjson.dumps(totals), b""))


def _encode(header: Header, number: int, items: int, seconds: int, notes: bytes, payload: bytes) -> tuple[bytes, ...]:
    length = len(notes) + len(payload) + (TAG_BYTES if header.cipher is not None else 0)
    head = _FRAME.pack(header.mark, 0, number, items, seconds, len(notes), length)
    covered = head[_COVERED:]
    body: tuple[bytes, ...] = (notes, payload)
    if header.cipher is not None:
        body = (header.cipher.encrypt(number, notes + payload, header.id + covered),)
    checksum = crc32(covered, header.salt)
    for piece in body:
        checksum = crc32(piece, checksum)
    return head[:8], checksum.to_bytes(4, "little"), covered, *body


def read_seal(header: Header, data: bytes) -> Totals | None:
    """The totals at the end of a segment, of which `data` are the last bytes; None where it was not ended in order."""
    start = data.rfind(header.mark)
    found = _frame(header, data, start, len(data)) if start >= 0 else None
    if found is None or found.number != SEAL or found.end != len(data):
        return None
    try:
        return Totals(**orjson.loads(found.notes))
    except (TypeError, ValueError):
        return None


def scan(header: Header, data: bytes, offset: int, after: int = -1) -> Iterator[Found | Damage]:
    """The records in some bytes of a segment, which begin at `offset` of it, and what is damaged between them.

    Only numbers greater than `after` count. Behind a damage it looks for the next frame that is whole.
    """
    place, end = 0, len(data)
    while place < end:
        frame = _frame(header, data, place, end)
        if frame is not None and frame.number > after:
            record = _record(frame)
            if frame.number == SEAL:
                return
            if record is not None:
                yield Found(offset + place, offset + frame.end, frame.number, record)
                place, after = frame.end, frame.number
                continue
        begin = place
        place = _next(header, data, place + 1, after)
        yield Damage(offset + begin, offset + place)


def _next(header: Header, data: bytes, place: int, after: int) -> int:
    """Where the next whole frame begins, or the end."""
    while (place := data.find(header.mark, place)) >= 0:
        frame = _frame(header, data, place, len(data))
        if frame is not None and frame.number > after and _record(frame) is not None:
            return place
        place += 1
    return len(data)


class _Frame(NamedTuple):
    end: int
    number: int
    items: int
    seconds: int
    notes: bytes
    body: bytes


def _frame(header: Header, data: bytes, place: int, end: int) -> _Frame | None:
    """The frame at a place, with its body decrypted; None where none is whole."""
    begin = place + _FRAME.size
    if begin > end:
        return None
    _, checksum, number, items, seconds, notes_length, length = _FRAME.unpack_from(data, place)
    stop = begin + length
    if length > LARGEST or stop > end or notes_length > length:
        return None
    covered = data[place + _COVERED : begin]
    body = data[begin:stop]
    if crc32(body, crc32(covered, header.salt)) != checksum:
        return None
    if header.cipher is not None:
        try:
            body = header.cipher.decrypt(number, body, header.id + covered)
        except ValueError:
            return None
    return _Frame(stop, number, items, seconds, body[:notes_length], body[notes_length:])


def _record(frame: _Frame) -> Record | None:
    if frame.number == SEAL:
        return Record(b"", 0, (), 0)
    try:
        shares, notes = orjson.loads(frame.notes)
        return Record(frame.body, frame.items, tuple((name, items) for name, items in shares), frame.seconds, notes)
    except (TypeError, ValueError):
        return None
