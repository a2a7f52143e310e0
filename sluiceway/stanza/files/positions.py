"""Where the reading of a file stands, and what tells the file from others.

A file is known by the digest of its first bytes, as in the Collector, and by device and inode. What stands right in
front of the position is looked at as well: a file that was truncated and written anew is found even if it begins as
before, and two files that begin alike are two as soon as they differ.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

from sluiceway.stanza.files.sources import Source

__all__ = ["TAIL", "Position", "digest", "is_copy", "read_position"]

TAIL: Final = 64
"""Bytes in front of a position that are looked at."""
_TRAIL: Final = 64
_KEPT_TRAIL: Final = 8


def digest(data: bytes) -> str:
    """What is kept of bytes: nothing of a log's text goes into a checkpoint."""
    return blake2b(data, digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading goes on, in bytes (decompressed ones). `number` is how many records came before.

    `head` is the digest of the first `head_size` bytes, `tail` that of those before `offset`, or empty.
    `trail` are places where it stood lately, each with the digest of what stands in front of it. `skipping` says that
    the rest of a record that was too long follows, `heading` that the header may go on.
    """

    device: int
    inode: int
    path: str
    offset: int = 0
    number: int = 0
    head_size: int = 0
    head: str = ""
    tail: str = ""
    trail: tuple[tuple[int, str], ...] = ()
    skipping: bool = False
    heading: bool = True
    header: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, int]:
        """Device and inode."""
        return self.device, self.inode

    def fits(self, source: Source) -> bool:
        """Whether the file is still the one that was read, and not shorter."""
        return (
            source.reaches(self.offset)
            and self.begins(source)
            and (not self.tail or digest(_tail(source, self.offset)) == self.tail)
        )

    def begins(self, source: Source) -> bool:
        """Whether the file begins as the one that was read."""
        if not self.head_size:
            return True
        data = source.read(0, self.head_size)
        return len(data) == self.head_size and digest(data) == self.head

    def known(self, source: Source, size: int) -> Position:
        """The same place, with more of the first bytes where there are more than were known, up to `size`."""
        if self.head_size >= size:
            return self
        data = source.read(0, size)
        if len(data) <= self.head_size:
            return self
        return replace(self, head_size=len(data), head=digest(data))

    def moved(self, source: Source, offset: int, **changes: Any) -> Position:
        """Another place in the same file."""
        tail = digest(_tail(source, offset))
        return replace(self, offset=offset, tail=tail, trail=(*self.trail[1 - _TRAIL :], (offset, tail)), **changes)

    def dump(self) -> bytes:
        """As it is kept in a checkpoint."""
        kept = {name: getattr(self, name) for name in self.__slots__} | {"trail": self.trail[-_KEPT_TRAIL:]}
        return json.dumps(kept, default=str).encode()  # not orjson: a path may be no valid text


def _tail(source: Source, offset: int) -> bytes:
    size = min(TAIL, offset)
    return source.read(offset - size, size)


def read_position(data: bytes) -> Position:
    """What `dump` wrote. Raises `ValueError`."""
    try:
        return Position(**json.loads(data))
    except TypeError as error:
        raise ValueError(str(error)) from None


def is_copy(copy: Source, position: Position, original: Source | None) -> bool:
    """Whether a file is a copy of the one that a position stands in, or is about to become one.

    A copy that is shorter than what was read is compared with the original, and where that is gone with the places
    that were read up to before.
    """
    if not position.head_size:
        return False
    is_short = original is None and not copy.reaches(position.head_size)
    if not is_short and not position.begins(copy):
        return False
    if original is not None and copy.is_compressed:
        return True  # looking farther into it would be dear, and is not urgent
    if copy.reaches(position.offset):
        return position.fits(copy)
    if original is not None:
        size = copy.status().st_size
        return _tail(copy, size) == _tail(original, size)
    return any(copy.reaches(place) and digest(_tail(copy, place)) == tail for place, tail in position.trail if place)
