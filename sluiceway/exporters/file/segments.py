"""Values of attributes as names of files: whatever a sender writes, the file stays where the operator put it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from sluiceway.otlp import Batch, partition
from sluiceway.otlp.anyvalue import decode_value

__all__ = ["Segments"]

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f/\\]")
_LONGEST_NAME: Final = 255
"""Bytes of a name in all of the usual file systems."""
_MARK: Final = 12
_MARKED: Final = re.compile(r"-[0-9a-f]{12}\Z")
"""What ends like a digest gets one of its own, or a sender could write into another's file."""


class Segments:
    """The paths that a pattern with one `*` gives for the values of a resource attribute.

    A value is taken as it is where it makes a name. Otherwise what does not fit is replaced or cut off, and a digest of
    the value is added, so that two values never share a file.
    """

    def __init__(self, pattern: str, attribute: str) -> None:
        self._before, _, self._after = pattern.partition("*")
        self._attribute = attribute
        taken = self._before.rpartition("/")[2] + self._after.partition("/")[0]
        self._longest = max(_LONGEST_NAME - len(taken.encode(errors="surrogateescape")), 2 * _MARK)

    def parts(self, batch: Batch) -> Iterator[tuple[str | None, Batch]]:
        """The batch by path; None for what has no such attribute, or one that is no string."""
        for encoded, part in partition(batch, self._attribute):
            value = None if encoded is None else decode_value(encoded)
            yield self.path(value) if isinstance(value, str) else None, part

    def path(self, value: str) -> str:
        """The file of a value."""
        return f"{self._before}{self._segment(value)}{self._after}"

    def _segment(self, value: str) -> str:
        safe = _UNSAFE.sub("_", value)
        if safe.startswith(".") or not safe:
            safe = f"_{safe[1:]}"  # neither this folder, nor the one above, nor a file that hides
        if safe == value and len(safe.encode()) <= self._longest and not _MARKED.search(value):
            return safe
        mark = blake2b(value.encode(), digest_size=_MARK // 2).hexdigest()
        kept = safe.encode()[: self._longest - _MARK - 1].decode(errors="ignore")
        return f"{kept}-{mark}"
