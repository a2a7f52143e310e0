"""The keys by which the database knows a batch that comes again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from secrets import token_bytes

from sluiceway.errors import PermanentError
from sluiceway.otlp import Batch
from sluiceway.unfinished import Unfinished

__all__ = ["Keys", "part_of"]


class Keys:
    """Gives each delivery a key by chance, and its repetition the same one.

    A repetition is known by its being the same object, which whoever sends again must keep, and after a restart by the
    name that a queue on disk has given it.
    """

    def __init__(self) -> None:
        self._failed: Unfinished[bytes] = Unfinished()

    @contextmanager
    def of(self, batch: Batch) -> Iterator[bytes]:
        """The key of a delivery that the body is; it is kept when the body fails in a way that may be repeated."""
        key = self._failed.take(batch) or token_bytes(16)
        try:
            yield key
        except PermanentError:
            raise
        except BaseException:
            self._failed.keep(batch, key)
            raise


def part_of(key: bytes, number: int) -> bytes:
    """The key of a part of what has a key."""
    return blake2b(key + bytes((number,)), digest_size=16).digest()
