"""The engine: takes predictions and labels in columns, and tells how good models are and what has drifted."""

from __future__ import annotations

from collections.abc import Mapping

from sluiceway.clock import Clock
from sluiceway.ml.batches import GroundTruth, Predictions
from sluiceway.ml.settings import EngineSettings
from sluiceway.scraping import Scrape

__all__ = ["Engine"]


class Engine:
    """Measures models. All but `write` is done at once, on the event loop; hand over some 10,000 records at a time."""

    def __init__(self, settings: EngineSettings, clock: Clock) -> None: ...

    def predictions(self, batch: Predictions) -> None:
        """Take predictions; of those with the same id the first counts."""

    def ground_truth(self, batch: GroundTruth) -> None:
        """Take labels, in any order and at any time; of those with the same id the first counts."""

    def reject(self, reasons: Mapping[str, int]) -> None:
        """Count records that broke the contract."""

    def reference(self, batch: Predictions) -> None:
        """Set what drift is measured against, in place of any other reference of the models in the batch.

        An empty version stands for all versions without a reference of their own, an empty model for all models.
        """

    async def write(self, scrape: Scrape) -> None:
        """Close the window if its time is over, and record all metrics and events. Statistics are made in a thread."""

    def snapshot(self) -> bytes:
        """The references, to be kept where the process ends."""
        raise NotImplementedError

    def restore(self, snapshot: bytes) -> None:
        """Take references back; raises `ValueError` for what is none."""
