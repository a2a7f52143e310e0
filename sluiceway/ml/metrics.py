"""The metrics of models."""

from __future__ import annotations

from typing import Final

from sluiceway.scraping import counter, gauge, histogram

__all__ = [
    "CHANGES", "CONFIDENCE", "COVERAGE", "DETECTED", "DRIFTED", "DURATION", "ERRORS", "EXPECTED", "EXPIRED", "HELD",
    "LABELS", "LABEL_DELAY", "METRICS", "MISSING", "NEW_CATEGORY", "OUT_OF_RANGE", "PERFORMANCE", "PREDICTIONS",
    "P_VALUE", "RECORDS", "REJECTED", "SCORE",
]  # fmt: skip

_MODEL: Final = ("ml.model.name", "ml.model.version")

PREDICTIONS = counter("ml.predictions", "{prediction}", "Predictions that were made, failed ones included.", *_MODEL)
ERRORS = counter("ml.prediction.errors", "{prediction}", "Predictions that failed.", *_MODEL)
DURATION = histogram("ml.inference.duration", "s", "How long inferences took.", *_MODEL)
CONFIDENCE = histogram("ml.prediction.confidence", "1", "The probability of the most probable class.", *_MODEL)
LABELS = counter("ml.labels", "{label}", "Labels that were joined with their predictions.", *_MODEL)
LABEL_DELAY = histogram("ml.label.delay", "s", "Time from a prediction to its label.", *_MODEL)
COVERAGE = gauge(
    "ml.label.coverage.ratio", "1", "The share of the predictions of the join window that have a label.",
    *_MODEL, value=float,
)  # fmt: skip
REJECTED = counter(
    "ml.records.rejected", "{record}",
    "Records left out, as a `duplicate`, for a window's bound (`window_full`), or because they break the contract.",
    "reason",
)  # fmt: skip
EXPIRED = counter(
    "ml.join.expired", "{record}",
    "Predictions and labels that left the join window alone; `kind` is `prediction` or `label`.", "kind",
)  # fmt: skip
HELD = gauge("ml.join.held", "{record}", "Predictions and early labels in the join window.", "kind")
RECORDS = gauge(
    "ml.window.records", "{record}",
    "Records of the window that figures tell of; `kind` is `prediction`, or `label` for those that have one.",
    *_MODEL, "kind",
)  # fmt: skip
PERFORMANCE = gauge(
    "ml.performance", "1",
    "How good predictions are, by the `metric`; of a `class` or `segment` where these are set.",
    *_MODEL, "metric", "class", "segment", value=float,
)  # fmt: skip
SCORE = gauge(
    "ml.drift.score", "1", "How far a window is from the reference, by the `method`.",
    *_MODEL, "kind", "feature", "method", value=float,
)  # fmt: skip
P_VALUE = gauge(
    "ml.drift.p_value", "1", "How likely a score as large is without drift, before the correction for many features.",
    *_MODEL, "kind", "feature", "method", value=float,
)  # fmt: skip
EXPECTED = gauge(
    "ml.drift.expected", "1", "The score that is to be expected without drift, for `psi`.",
    *_MODEL, "kind", "feature", "method", value=float,
)  # fmt: skip
DETECTED = gauge("ml.drift.detected", "1", "Whether there is drift.", *_MODEL, "kind", "feature")
DRIFTED = gauge("ml.drift.features.ratio", "1", "The share of features with drift.", *_MODEL, value=float)
CHANGES = counter(
    "ml.drift.changes", "{change}", "Changes that ADWIN found in a model's `error` or `confidence`, its `kind`.",
    *_MODEL, "kind",
)  # fmt: skip
MISSING = gauge(
    "ml.data.missing.ratio", "1", "The share of a feature's values that are missing.", *_MODEL, "feature", value=float
)
NEW_CATEGORY = gauge(
    "ml.data.new_category.ratio", "1", "The share of a feature's values that are no category of the reference.",
    *_MODEL, "feature", value=float,
)  # fmt: skip
OUT_OF_RANGE = gauge(
    "ml.data.out_of_range.ratio", "1", "The share of a feature's values out of the range of the reference.",
    *_MODEL, "feature", value=float,
)  # fmt: skip

METRICS: Final = (
    PREDICTIONS, ERRORS, DURATION, CONFIDENCE, LABELS, LABEL_DELAY, COVERAGE, REJECTED, EXPIRED, HELD, RECORDS,
    PERFORMANCE, SCORE, P_VALUE, EXPECTED, DETECTED, DRIFTED, CHANGES, MISSING, NEW_CATEGORY, OUT_OF_RANGE,
)  # fmt: skip
