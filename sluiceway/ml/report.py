"""What is known of a model, as metrics and events."""

from __future__ import annotations

from sluiceway.ml.analysis import Drift
from sluiceway.ml.metrics import (
    CHANGES,
    CONFIDENCE,
    COVERAGE,
    DETECTED,
    DRIFTED,
    DURATION,
    ERRORS,
    EXPECTED,
    LABEL_DELAY,
    LABELS,
    MISSING,
    NEW_CATEGORY,
    OUT_OF_RANGE,
    P_VALUE,
    PERFORMANCE,
    PREDICTIONS,
    RECORDS,
    SCORE,
)
from sluiceway.ml.model import Model
from sluiceway.scraping import Scrape

__all__ = ["EVENT", "record"]

EVENT = "ml.drift"
_INFO, _WARN = 9, 13


def record(scrape: Scrape, model: Model, coverage: float | None) -> None:
    """Record all metrics of a model, and an event for each drift that began or ended with its last window."""
    _counts(scrape, model)
    if coverage is not None:
        scrape.record(COVERAGE, coverage, model.attributes)
    found = model.found
    if found.predictions or found.labels:
        for kind, count in (("prediction", found.predictions), ("label", found.labels)):
            scrape.record(RECORDS, count, model.attributes | {"kind": kind})
    for value in found.performance:
        attributes = {"metric": value.figure, "class": value.name, "segment": value.segment}
        scrape.record(PERFORMANCE, value.value, model.attributes | _set(attributes))
    for quality in found.quality:
        of_feature = model.attributes | {"feature": quality.feature}
        scrape.record(MISSING, quality.missing, of_feature)
        if quality.new_category is not None:
            scrape.record(NEW_CATEGORY, quality.new_category, of_feature)
        if quality.out_of_range is not None:
            scrape.record(OUT_OF_RANGE, quality.out_of_range, of_feature)
    for drift in found.drift:
        _drift(scrape, model, drift)
    features = [drift.detected for drift in found.drift if drift.kind == "feature"]
    if features:
        scrape.record(DRIFTED, sum(features) / len(features), model.attributes)
    _events(scrape, model)


def _counts(scrape: Scrape, model: Model) -> None:
    counts, start = model.counts, model.start
    scrape.record(PREDICTIONS, counts.predictions, model.attributes, start=start)
    scrape.record(ERRORS, counts.errors, model.attributes, start=start)
    scrape.record(LABELS, counts.labels, model.attributes, start=start)
    for kind, count in counts.changes.items():
        scrape.record(CHANGES, count, model.attributes | {"kind": kind}, start=start)
    for metric, values in (
        (DURATION, model.durations),
        (CONFIDENCE, model.confidences),
        (LABEL_DELAY, model.delays),
    ):
        if values:
            scrape.record(metric, values.histogram(), model.attributes, start=start)


def _drift(scrape: Scrape, model: Model, drift: Drift) -> None:
    settings = model.settings.drift
    about = model.attributes | _set({"kind": drift.kind, "feature": drift.feature})
    scrape.record(DETECTED, drift.detected, about)
    for method, distance in drift.distances.items():
        if settings is None or method not in settings.methods:
            continue
        attributes = about | {"method": method}
        scrape.record(SCORE, distance.score, attributes)
        if distance.p_value is not None:
            scrape.record(P_VALUE, distance.p_value, attributes)
        if distance.expected is not None:
            scrape.record(EXPECTED, distance.expected, attributes)


def _events(scrape: Scrape, model: Model) -> None:
    drifts = {(drift.kind, drift.feature): drift for drift in model.found.drift}
    for key, drift in drifts.items():
        if drift.detected == (key in model.drifting):
            continue
        state = "began" if drift.detected else "ended"
        what = f"{drift.kind} {drift.feature}".rstrip()
        name = " ".join(str(value) for value in model.attributes.values())
        distance = drift.distances[drift.decides]
        scrape.event(
            EVENT,
            f"drift of {what} of model {name} {state}",
            {
                **model.attributes,
                **_set({"ml.drift.kind": drift.kind, "ml.drift.feature": drift.feature}),
                "ml.drift.state": state,
                "ml.drift.method": drift.decides,
                "ml.drift.score": distance.score,
                "ml.drift.p_value": drift.adjusted,
            },
            severity=_WARN if drift.detected else _INFO,
        )
        model.drifting ^= {key}


def _set(attributes: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if value}
