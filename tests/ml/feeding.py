"""An engine, fed with arrays and asked for its points and events."""

from __future__ import annotations

from typing import Any

import numpy as np

from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.ml import EngineSettings, make_engine
from sluiceway.ml.batches import GroundTruth, Predictions
from sluiceway.otlp import Batch, Signal
from sluiceway.scraping import Scrape
from sluiceway.testing import ManualClock, points

Points = dict[str, list[dict[str, Any]]]


def settings(yaml: str = "{}") -> EngineSettings:
    """What YAML gives."""
    return decode(EngineSettings, parse(yaml, "ml.yaml"))


def predictions(size: int, *, ids: Any = None, first: int = 0, model: str = "m", **columns: Any) -> Predictions:
    """Predictions of one model, numbered from `first` on."""
    numbers = range(first, first + size) if ids is None else ids
    return Predictions(
        np.array([f"id-{number}" for number in numbers], object),
        np.full(size, 10**18, np.int64),
        np.full(size, model, object),
        np.full(size, "1", object),
        **columns,
    )


def truths(labels: Any, *, ids: Any = None, time: int = 10**18) -> GroundTruth:
    """Labels of the predictions with these numbers."""
    labels = np.asarray(labels)
    numbers = range(len(labels)) if ids is None else ids
    return GroundTruth(
        np.array([f"id-{number}" for number in numbers], object), np.full(len(labels), time, np.int64), labels
    )


class Fed:
    """An engine with a clock that stands still."""

    def __init__(self, yaml: str = "{}") -> None:
        self.clock = ManualClock()
        self.settings = settings(yaml)
        self.engine = make_engine(self.settings, self.clock)
        self.events: list[Any] = []

    async def tell(self, *, close: bool = True) -> Points:
        """The points of a window that is closed now."""
        scrape = Scrape(self.clock.time_ns(), 0, self.settings.metrics)
        await self.engine.write(scrape, close=close)
        self.events += scrape.events
        payload, count = scrape.finish()
        return points([Batch(Signal.METRICS, payload, count)])


def by(found: Points, name: str, *keys: str) -> dict[Any, float]:
    """The values of a metric by its attributes: by one of them, or by tuples of several."""
    given = {tuple(point["attributes"].get(key, "") for key in keys): point["value"] for point in found.get(name, [])}
    return {key[0] if len(key) == 1 else key: value for key, value in given.items()}
