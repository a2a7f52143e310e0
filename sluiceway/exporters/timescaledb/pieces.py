"""A batch or a part of one, with the keys by which the database knows it, and how it is cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from sluiceway.component import PartialSuccess
from sluiceway.exporters.timescaledb.keys import part_of
from sluiceway.otlp import Batch, join, pick, split

__all__ = ["Named", "Piece", "join_rejections"]


Named: TypeAlias = list[tuple[bytes, int]]
"""The keys of what a batch is made of, and the items of each, in their order."""


class Piece(NamedTuple):
    """What is stored in one transaction. The same batch is always cut into the same pieces with the same keys."""

    batch: Batch
    keys: Named
    above: tuple[bytes, ...] = ()
    """The keys of what it is a part of, the whole first. Once it is stored these must never be stored as one."""

    def halves(self) -> list[Piece]:
        """Two pieces, in order.

        Where there are several keys the cut goes between them: the next time they may be joined with others.
        """
        if len(self.keys) == 1:
            ((key, items),) = self.keys
            parts = enumerate(_cut(self.batch, (items + 1) // 2))
            return [Piece(part, [(part_of(key, n), part.items)], (*self.above, key)) for n, part in parts]
        borders = list(accumulate(items for _, items in self.keys[:-1]))
        place = min(range(len(borders)), key=lambda number: abs(2 * borders[number] - self.batch.items))
        first, rest = _cut(self.batch, borders[place])
        return [Piece(first, self.keys[: place + 1], self.above), Piece(rest, self.keys[place + 1 :], self.above)]

    def apart(self, noted: Mapping[bytes, int]) -> list[Piece]:
        """What is stored already, what is stored in part and what is new, each for itself; the piece where all is one.

        `noted` are the keys that the database has, with their rows: none where it has a part.
        """
        groups: dict[bool | None, set[bytes]] = {}
        for key, _ in self.keys:
            groups.setdefault(noted[key] > 0 if key in noted else None, set()).add(key)
        return [self] if len(groups) == 1 else [self._only(keys) for keys in groups.values()]

    def _only(self, keys: set[bytes]) -> Piece:
        mask = b"".join(bytes([key in keys]) * items for key, items in self.keys)
        return Piece(pick(self.batch, mask), [pair for pair in self.keys if pair[0] in keys], self.above)


def join_rejections(found: Sequence[PartialSuccess]) -> PartialSuccess | None:
    """One rejection of several, None of none."""
    if not found:
        return None
    left_out = [each.batch for each in found if each.batch is not None]
    text = "; ".join(dict.fromkeys(each.message for each in found))
    return PartialSuccess(sum(each.rejected for each in found), text, join(left_out))


def _cut(batch: Batch, items: int) -> tuple[Batch, Batch]:
    """The first so many items, and the others."""
    first, *rest = split(batch, items=items)
    return first, join(rest)
