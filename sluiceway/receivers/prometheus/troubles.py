"""What is wrong with targets: in the status as it is, in the log when it changes."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Final

from sluiceway.component import Context, Status

__all__ = ["Troubles"]

_CHANGING: Final = re.compile(r"\d+")
_SHOWN: Final = 3
"""How many troubles a status names."""


class Troubles:
    """Everything that is wrong at the moment, by what it is wrong with."""

    def __init__(self, context: Context) -> None:
        self.targets = 0
        self._context = context
        self._texts: dict[Hashable, tuple[str, str]] = {}
        self._repeating: set[Hashable] = set()

    def tell(self, key: Hashable, name: str, text: str) -> None:
        """Say what is wrong with a job (its key is its name) or a target; empty when nothing is.

        Numbers in a text may differ each time, which is no change.
        """
        _, before = self._texts.get(key, ("", ""))
        logger = self._context.logger
        if text:
            self._texts[key] = (name, text)
            if _CHANGING.sub("#", text) != _CHANGING.sub("#", before):
                logger.warning("Failed to scrape Prometheus endpoint", extra={"target": name, "error": text})
        elif before:
            del self._texts[key]
            logger.info("Scraping works again", extra={"target": name})
        self._report()

    def note(self, key: Hashable, name: str, *, repeated: int) -> None:
        """Say how many samples came twice, which fails nothing."""
        if repeated and key not in self._repeating:
            self._repeating.add(key)
            text = f"{repeated} samples came twice; the first of each counts"
            self._context.logger.warning("Error on ingesting samples", extra={"target": name, "error": text})
        elif not repeated:
            self._repeating.discard(key)

    def forget(self, key: Hashable) -> None:
        """Nothing is to be said of this any more."""
        self._repeating.discard(key)
        if self._texts.pop(key, None) is not None:
            self._report()

    def _report(self) -> None:
        if not self._texts:
            self._context.report(Status.OK)
            return
        texts = list(self._texts.values())
        jobs = sum(isinstance(key, str) for key in self._texts)
        counts = [f"{len(texts) - jobs} of {self.targets} targets"] if jobs < len(texts) else []
        counts += [f"{jobs} {'job' if jobs == 1 else 'jobs'}"] if jobs else []
        shown = "; ".join(f"{name}: {text}" for name, text in texts[:_SHOWN])
        more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
        self._context.report(Status.RECOVERABLE_ERROR, f"{' and '.join(counts)}: {shown}{more}")
