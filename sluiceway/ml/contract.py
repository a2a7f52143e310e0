"""The contract of names: what a prediction and a ground truth are called where they come from.

Two kinds of record are known: a *prediction* is what a model said, and a *ground truth* is what turned out to be so,
which comes later and names the prediction by its id. A record may be both, when its label is known at once. In tables
(files, SQL) these are columns with the names of `Columns`; in OTLP logs they are attributes with fixed names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, Self

from pydantic import Field, model_validator

from sluiceway.config.types import Settings, StringList

__all__ = ["ATTRIBUTES", "GROUND_TRUTH", "PREDICTION", "Columns"]

PREDICTION: Final = "ml.prediction"
"""The event name of a prediction in OTLP logs."""
GROUND_TRUTH: Final = "ml.ground_truth"
"""The event name of a ground truth in OTLP logs."""


_IN_EVERY_RECORD: Final = ("prediction_id", "timestamp", "model_name", "model_version", "latency")


class Columns(Settings):
    """What the columns of a table are called. A name that no column has is left out, unless it is needed."""

    prediction_id: str = "prediction_id"
    """What joins a prediction and its label. Predictions without one are counted, and never get a label."""
    timestamp: str = "timestamp"
    """When it was predicted or found out: a time, text in ISO 8601, or a number since the epoch in s, ms, µs or ns."""
    model_name: str = "model_name"
    """The name of the model."""
    model_version: str = "model_version"
    """The version of the model."""
    prediction: str = "prediction"
    """The class or the quantity that was predicted."""
    score: str = "score"
    """The probability, or another score, of the positive class of a model with two classes."""
    probabilities: dict[str, str] = Field(default_factory=dict, max_length=1000)
    """The columns that hold the probability of each class, by the class."""
    probability_prefix: str = "probability_"
    """Columns whose names begin with it hold the probability of the class that their names end with; empty for none."""
    latency: str = "latency"
    """How long the inference took, in seconds."""
    error: str = "error"
    """What went wrong: true, or a text that is not empty, where the model failed."""
    label: str = "label"
    """What turned out to be so."""
    segments: dict[str, str] = Field(default_factory=dict, max_length=100)
    """The columns that hold the segments, where they are not called as the segments are."""
    features: StringList = ()
    """The columns that hold features, under their own names."""
    feature_prefix: str = "feature_"
    """Columns whose names begin with it hold features, which are called by the rest of it; empty for none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [self.prediction_id, self.prediction, self.score, self.label]
        if len(set(filter(None, names))) < len(list(filter(None, names))):
            raise ValueError("prediction_id, prediction, score and label must be different columns")
        return self

    def __hash__(self) -> int:
        return hash((self.prediction_id, self.timestamp, self.model_name, self.prediction, self.label))

    def missing_for_predictions(self, columns: Collection[str]) -> list[str]:
        """The names that a table of predictions lacks: those that were given, which are there in every record.

        One of prediction, score, probabilities or error is needed in any case.
        """
        known = {*columns}
        given = [getattr(self, field) for field in _IN_EVERY_RECORD if field in self.model_fields_set]
        named = [self.prediction, self.score, self.error, *self.probabilities.values()]
        needed = (*given, *self.features, *self.probabilities.values())
        missing = [name for name in dict.fromkeys(needed) if name and name not in known]
        if not known & {*named} and not any(True for _ in self.probability_columns(columns)):
            missing.append(self.prediction)
        return list(dict.fromkeys(missing))

    def missing_for_ground_truth(self, columns: Collection[str]) -> list[str]:
        """The names that a table of labels lacks."""
        return [name for name in (self.prediction_id, self.label) if name not in columns]

    def probability_columns(self, columns: Collection[str]) -> Iterator[tuple[str, str]]:
        """Every class whose probability is in a table, and the column."""
        yield from ((name, column) for name, column in self.probabilities.items() if column in columns)
        if prefix := self.probability_prefix:
            named = set(self.probabilities.values())
            for column in columns:
                if column.startswith(prefix) and column not in named and len(column) > len(prefix):
                    yield column.removeprefix(prefix), column

    def feature_columns(self, columns: Collection[str]) -> Iterator[tuple[str, str]]:
        """Every feature in a table, and the column."""
        yield from ((name, name) for name in self.features if name in columns)
        if prefix := self.feature_prefix:
            for column in columns:
                if column.startswith(prefix) and column not in self.features and len(column) > len(prefix):
                    yield column.removeprefix(prefix), column


ATTRIBUTES: Final = Columns(
    prediction_id="ml.prediction.id",
    timestamp="timestamp",
    model_name="ml.model.name",
    model_version="ml.model.version",
    prediction="ml.prediction.label",
    score="ml.prediction.score",
    probability_prefix="ml.prediction.probability.",
    latency="ml.inference.duration",
    error="error.type",
    label="ml.ground_truth.label",
    feature_prefix="ml.feature.",
)
"""The names in OTLP logs."""
