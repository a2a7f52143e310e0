"""How good models are and what has drifted, from the records of predictions and labels that served models leave.

`sluiceway.ml.engine` has the engine, and `sluiceway.ml.batches` what it is fed; both need the extra `ml`. What is
imported here needs nothing: the settings, the contract of names, and the metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluiceway.clock import Clock
from sluiceway.extras import require
from sluiceway.ml.contract import ATTRIBUTES, GROUND_TRUTH, PREDICTION, Columns
from sluiceway.ml.metrics import METRICS
from sluiceway.ml.settings import EngineSettings

if TYPE_CHECKING:
    from sluiceway.ml.engine import Engine

__all__ = ["ATTRIBUTES", "GROUND_TRUTH", "METRICS", "PREDICTION", "Columns", "EngineSettings", "make_engine"]


def make_engine(settings: EngineSettings, clock: Clock) -> Engine:
    """An engine. Raises `ConfigError` where the extra `ml` is not installed."""
    require("measuring models", "ml", "numpy", "scipy", "river")
    from sluiceway.ml.engine import Engine

    return Engine(settings, clock)
