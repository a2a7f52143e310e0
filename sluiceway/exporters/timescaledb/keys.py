"""The keys by which the database knows a batch that comes again."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from secrets import token_bytes
from typing import Final, TypeAlias

from sluiceway.errors import PermanentError
from sluiceway.otlp import Batch

__all__ = ["Keys", "part_of"]

MOST_FAILED: Final = 16_384
"""Deliveries that failed and whose keys are kept: more than there can be consumers of the queue."""

Place: TypeAlias = tuple[int, int, float]


class Keys:
    """Gives each delivery a key by chance, and its repetition the same one.

    A hash of the bytes would not do: a batch of records that are all alike may be cut into pieces that are all alike,
    and each must be stored. A repetition is known by its being the same object, which whoever sends again must keep,
    and after a restart by the name that a queue on disk has given it.
    """

    def __init__(self) -> None:
        self._failed: OrderedDict[Place, tuple[weakref.ref[Batch], list[bytes]]] = OrderedDict()

    @contextmanager
    def of(self, batch: Batch) -> Iterator[bytes]:
        """The key of a delivery that the body is; it is kept when the body fails in a way that may be repeated."""
        place = (id(batch), id(batch.payload), batch.origin.received)
        waiting = self._waiting(place, batch)
        key = waiting.pop() if waiting else token_bytes(16)
        try:
            yield key
        except PermanentError:
            raise
        except BaseException:
            self._failed[place] = weakref.ref(batch), [*self._waiting(place, batch), key]
            if len(self._failed) > MOST_FAILED:
                self._failed.popitem(last=False)
            raise

    def _waiting(self, place: Place, batch: Batch) -> list[bytes]:
        """The keys of deliveries of a batch that failed; those of another one that stood in its place are not its."""
        batch_before, keys = self._failed.get(place, (lambda: None, []))
        return keys if batch_before() is batch else []


def part_of(key: bytes, number: int) -> bytes:
    """The key of a part of what has a key."""
    return blake2b(key + bytes((number,)), digest_size=16).digest()
