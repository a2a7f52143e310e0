"""The settings of the engine, which are those of every component that measures models."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Section, Settings, StringList
from sluiceway.ml.metrics import METRICS
from sluiceway.scraping import Declares, MetricSettings

__all__ = [
    "CLASSIFICATION", "REGRESSION", "AdwinSettings", "DriftSettings", "EngineSettings", "Figure", "JoinSettings",
    "ReferenceSettings", "Task", "WindowSettings",
]  # fmt: skip

Task: TypeAlias = Literal["auto", "classification", "regression"]
Figure: TypeAlias = Literal[
    "accuracy", "precision", "recall", "f1", "precision_macro", "recall_macro", "f1_macro", "precision_micro",
    "recall_micro", "f1_micro", "roc_auc", "average_precision", "log_loss", "brier_score", "calibration_error",
    "mae", "rmse", "mape", "r2",
]  # fmt: skip
CLASSIFICATION: Final[tuple[Figure, ...]] = (
    "accuracy", "precision", "recall", "f1", "precision_macro", "recall_macro", "f1_macro", "precision_micro",
    "recall_micro", "f1_micro", "roc_auc", "average_precision", "log_loss", "brier_score", "calibration_error",
)  # fmt: skip
REGRESSION: Final[tuple[Figure, ...]] = ("mae", "rmse", "mape", "r2")


class JoinSettings(Settings):
    """How predictions and labels wait for each other."""

    window: Duration = Field(default=86_400.0, gt=0)
    """How long a prediction waits for its label, and a label for its prediction."""
    max_records: int = Field(default=100_000, ge=1, le=10_000_000)
    """How many predictions are held at most, and how many labels that came first; the oldest go, and are counted."""


class WindowSettings(Settings):
    """What the figures are made of: the records that came, or were joined, within a time."""

    type: Literal["tumbling", "sliding"] = "tumbling"
    """Whether windows follow each other, and figures tell of the last one that ended, or of the time up to now."""
    size: Duration = Field(default=600.0, gt=0)
    """How long a window is."""
    min_records: int = Field(default=30, ge=1)
    """Figures of windows, segments or features with fewer records are left out."""
    max_records: int = Field(default=20_000, ge=1, le=1_000_000)
    """How many records of each model a window holds; the oldest go, and are counted."""


class ReferenceSettings(Settings):
    """What drift is measured against."""

    type: Literal["first_n", "rolling", "given"] = "first_n"
    """The first records of each model and version, the window before, or only what a component was given."""
    first_n: int = Field(default=1000, ge=30, le=1_000_000)
    """How many records make the reference; they are not tested themselves."""


class AdwinSettings(Settings):
    """ADWIN watches each model's errors, as labels come, and the confidence of its predictions."""

    delta: float = Field(default=0.002, gt=0, lt=1)
    """How sure it must be: the rate of false alarms is at most this at each check."""


class DriftSettings(Settings):
    """How drift is found."""

    alpha: float = Field(default=0.05, gt=0, lt=1)
    """The rate of windows without drift in which one is found all the same; of a model's features together."""
    methods: tuple[Literal["psi", "ks", "chi_square", "wasserstein", "jensen_shannon"], ...] = (
        "psi", "ks", "chi_square", "wasserstein", "jensen_shannon",
    )  # fmt: skip
    """Which scores are told; Kolmogorov-Smirnov (of numbers) and chi-square (of categories) decide in any case."""
    thresholds: dict[Literal["psi", "ks", "chi_square", "wasserstein", "jensen_shannon"], float] = Field(
        default_factory=dict
    )
    """How large a score must be at least, beside being significant, for drift to be told."""
    bins: int = Field(default=10, ge=2, le=100)
    """Into how many bins numbers are sorted, by the quantiles of the reference, for `psi` and `jensen_shannon`."""
    max_categories: int = Field(default=100, ge=2, le=10_000)
    """How many categories of a feature are told apart; others count as one."""
    adwin: Section[AdwinSettings] = AdwinSettings()
    """ADWIN on the stream."""

    def __hash__(self) -> int:
        return hash((self.alpha, self.methods, self.bins))


class EngineSettings(Settings):
    """What is measured of models. Components derive their settings from it."""

    task: Task = "auto"
    """What the models do. `auto`: labels that are texts, booleans or integers are classes, and floats quantities."""
    positive_label: str = ""
    """The class that a score is about, of two; empty for the last of the two in alphabetical order."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """From which score on the positive class is predicted, where a record has a score and no prediction."""
    performance: tuple[Figure, ...] = CLASSIFICATION + REGRESSION
    """The figures of `ml.performance`, as far as a model's task has them."""
    segments: StringList = Field(default=(), max_length=10)
    """The attributes, columns or features by whose values figures are told apart as well."""
    max_segments: int = Field(default=20, ge=1, le=1000)
    """How many values of each segment are told apart; others become `_OTHER`."""
    max_models: int = Field(default=20, ge=1, le=1000)
    """How many models and versions are told apart; others become `_OTHER`."""
    max_classes: int = Field(default=20, ge=2, le=1000)
    """For how many classes, the most frequent, figures are told apart; all of them are in the averages."""
    calibration_bins: int = Field(default=10, ge=2, le=100)
    """Into how many bins, equally wide, probabilities are sorted for `calibration_error`."""
    features: StringList = ()
    """The features that are looked at; those that come first where it is empty."""
    categorical: StringList = ()
    """Features whose values are categories even where they are numbers."""
    max_features: int = Field(default=50, ge=0, le=1000)
    """How many features of each model are looked at."""
    join: JoinSettings = JoinSettings()
    """How predictions and labels wait for each other."""
    window: WindowSettings = WindowSettings()
    """What the figures are made of."""
    reference: ReferenceSettings = ReferenceSettings()
    """What drift is measured against."""
    drift: Section[DriftSettings] = DriftSettings()
    """How drift is found."""
    storage: str | None = None
    """The id of a storage extension that keeps references over a restart, such as `file_storage`; none unless set."""
    metrics: Annotated[MetricSettings, Declares(*METRICS)] = MetricSettings()
    """Which metrics are emitted, and how."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.segments)) < len(self.segments):
            raise ValueError("a segment is named twice")
        if self.window.type == "sliding" and self.reference.type == "rolling":
            raise mistake("a sliding window is never far from itself: use first_n or given", "reference", "type")
        return self
