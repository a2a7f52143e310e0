"""What the engine makes of records, in whatever order and number they come."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from sluiceway.errors import ConfigError
from tests.ml.feeding import Fed, by, predictions, settings, truths

TEXTS = np.array(["a", "b"], object)


def _texts(*values: str) -> np.ndarray:
    return np.array(values, object)


async def test_labels_in_any_order() -> None:
    """Labels before, after and between predictions, and twice, give the same figures as in order."""
    random = np.random.default_rng(1)
    predicted, truth = TEXTS[random.integers(0, 2, 200)], TEXTS[random.integers(0, 2, 200)]
    wanted = None
    for seed in (None, 1, 2, 3):
        fed = Fed()
        steps = [("p", number) for number in range(200)] + [("t", number) for number in range(200)]
        if seed is not None:
            Random(seed).shuffle(steps)
            steps += steps[:50]
        for kind, number in steps:
            if kind == "p":
                fed.engine.predictions(predictions(1, ids=[number], prediction=predicted[[number]]))
            else:
                fed.engine.ground_truth(truths(truth[[number]], ids=[number]))
        found = await fed.tell()
        figures = by(found, "ml.performance", "metric", "class")
        wanted = wanted or figures
        assert figures == pytest.approx(wanted)
        assert figures["accuracy", ""] == np.mean(predicted == truth)
        assert by(found, "ml.records.rejected", "reason") == {"duplicate": 0 if seed is None else 50}
        assert [point["value"] for point in found["ml.label.coverage.ratio"]] == [1.0]


async def test_what_waits_too_long_expires() -> None:
    """Predictions and labels that wait longer than the window are counted, and a label that comes then is early."""
    fed = Fed("{join: {window: 10s}}")
    fed.engine.predictions(predictions(3, prediction=_texts("a", "a", "b")))
    fed.engine.ground_truth(truths(_texts("a", "x"), ids=[0, 77]))
    await fed.clock.advance(11)
    found = await fed.tell()
    assert by(found, "ml.join.expired", "kind") == {"prediction": 2, "label": 1}
    assert by(found, "ml.join.held", "kind") == {"prediction": 0, "label": 0}
    fed.engine.ground_truth(truths(_texts("a"), ids=[1]))
    assert by(await fed.tell(), "ml.join.held", "kind") == {"prediction": 0, "label": 1}


async def test_no_more_is_held_than_allowed() -> None:
    """Beyond the bound the oldest go, and are counted."""
    fed = Fed("{join: {max_records: 100}}")
    for first in range(0, 1000, 50):
        fed.engine.predictions(predictions(50, first=first, prediction=np.full(50, "a", object)))
        fed.engine.ground_truth(truths(np.full(50, "a", object), ids=range(10_000 + first, 10_050 + first)))
    found = await fed.tell()
    held, expired = by(found, "ml.join.held", "kind"), by(found, "ml.join.expired", "kind")
    assert held["prediction"] <= 100
    assert held["label"] <= 100
    assert held["prediction"] + expired["prediction"] == held["label"] + expired["label"] == 1000


async def test_models_segments_and_classes_are_bounded() -> None:
    """A stream of new names makes no more series than the settings allow."""
    fed = Fed("{max_models: 3, max_segments: 2, segments: [who], max_classes: 2, window: {min_records: 1}}")
    for number in range(50):
        name = np.array([f"c{number}"], object)
        fed.engine.predictions(
            predictions(1, ids=[number], model=f"m{number % 10}", prediction=name, segments={"who": name})
        )
        fed.engine.ground_truth(truths(name, ids=[number]))
    found = await fed.tell()
    assert set(by(found, "ml.predictions", "ml.model.name")) == {"m0", "m1", "m2", "_OTHER"}
    assert sum(by(found, "ml.predictions", "ml.model.name").values()) == 50
    of_one = {key[1:] for key in by(found, "ml.performance", "ml.model.name", "segment", "class") if key[0] == "m0"}
    assert {segment for segment, _ in of_one} == {"", "who=c0", "who=c10", "who=_OTHER"}
    assert len({name for segment, name in of_one if not segment}) <= 3


async def test_windows_follow_each_other() -> None:
    """Figures tell of the last window that ended; a label counts in the window in which it comes."""
    fed = Fed("{window: {size: 60s, min_records: 1}}")
    fed.engine.predictions(predictions(2, prediction=_texts("a", "b")))
    fed.engine.ground_truth(truths(_texts("a"), ids=[0]))
    assert "ml.performance" not in await fed.tell(close=False)
    await fed.clock.advance(61)
    assert by(await fed.tell(close=False), "ml.performance", "metric", "class")["accuracy", ""] == 1.0
    fed.engine.ground_truth(truths(_texts("a"), ids=[1]))
    await fed.clock.advance(60)
    assert by(await fed.tell(close=False), "ml.performance", "metric", "class")["accuracy", ""] == 0.0


async def test_a_sliding_window() -> None:
    """A sliding window tells of what came within its size up to now."""
    fed = Fed("{window: {type: sliding, size: 60s, min_records: 1}}")
    fed.engine.predictions(predictions(2, prediction=_texts("a", "b")))
    fed.engine.ground_truth(truths(_texts("a"), ids=[0]))
    await fed.clock.advance(40)
    fed.engine.ground_truth(truths(_texts("a"), ids=[1]))
    assert by(await fed.tell(close=False), "ml.performance", "metric", "class")["accuracy", ""] == 0.5
    await fed.clock.advance(30)
    assert by(await fed.tell(close=False), "ml.performance", "metric", "class")["accuracy", ""] == 0.0


async def test_data_quality() -> None:
    """What is missing, new, or out of the range of the reference is told as a share."""
    fed = Fed("{reference: {first_n: 30}, window: {min_records: 10}}")
    usual = {"age": np.linspace(0, 1, 30), "kind": np.array(["x", "y", "z"] * 10, object)}
    fed.engine.predictions(predictions(30, prediction=np.full(30, "a", object), features=usual))
    odd = {
        "age": np.array([np.nan, 2.0, -1.0, *[0.5] * 7]),
        "kind": np.array([None, None, "new", *["x"] * 7], object),
    }
    fed.engine.predictions(predictions(10, first=30, prediction=np.full(10, "a", object), features=odd))
    found = await fed.tell()
    assert by(found, "ml.data.missing.ratio", "feature") == pytest.approx({"age": 0.1, "kind": 0.2})
    assert by(found, "ml.data.out_of_range.ratio", "feature") == pytest.approx({"age": 2 / 9})
    assert by(found, "ml.data.new_category.ratio", "feature") == pytest.approx({"kind": 1 / 8})


async def test_drift_begins_and_ends_once() -> None:
    """An event tells when drift begins and one when it ends, and none in between."""
    fed = Fed("{reference: {first_n: 100}, drift: {adwin: {enabled: false}}}")
    random = np.random.default_rng(0)
    for place, shift in enumerate((0, 3, 3, 0)):
        values = random.normal(size=100) + shift
        fed.engine.predictions(
            predictions(100, first=100 * place, prediction=np.full(100, "a", object), features={"age": values})
        )
        if place:
            await fed.tell()
    told = [(event.attributes["ml.drift.feature"], event.attributes["ml.drift.state"]) for event in fed.events]
    assert told == [("age", "began"), ("age", "ended")]
    assert [event.severity for event in fed.events] == [13, 9]


async def test_a_threshold_keeps_small_drift_quiet() -> None:
    """Drift that is significant, but smaller than what was asked for, is not told."""
    random = np.random.default_rng(0)
    for yaml, detected in (("{}", 1), ("{thresholds: {wasserstein: 1.0}}", 0)):
        fed = Fed(f"{{reference: {{first_n: 1000}}, drift: {yaml}}}")
        for place, shift in enumerate((0, 0.4)):
            values = random.normal(size=1000) + shift
            fed.engine.predictions(
                predictions(1000, first=1000 * place, prediction=np.full(1000, "a", object), features={"age": values})
            )
        assert by(await fed.tell(), "ml.drift.detected", "feature")["age"] == detected


async def test_adwin_finds_a_model_that_becomes_worse() -> None:
    """Errors that become more frequent are one change, and errors that stay as they are none."""
    random = np.random.default_rng(0)
    for later, changes in ((0.1, 0), (0.6, 1)):
        fed = Fed()
        for place, rate in enumerate((0.1, later)):
            wrong = random.random(2000) < rate
            labels = np.where(wrong, "b", "a").astype(object)
            fed.engine.predictions(predictions(2000, first=2000 * place, prediction=np.full(2000, "a", object)))
            fed.engine.ground_truth(truths(labels, ids=range(2000 * place, 2000 * place + 2000)))
        found = by(await fed.tell(), "ml.drift.changes", "kind").get("error", 0)
        assert (found > 0) == bool(changes)


async def test_references_outlive_a_restart() -> None:
    """What a snapshot holds is the reference of another engine, so that drift is found with its first window."""
    random = np.random.default_rng(0)
    before, after = Fed("{reference: {first_n: 100}}"), Fed("{reference: {first_n: 100}}")
    kinds = np.array(["x", "y"] * 50, object)
    batch = predictions(100, prediction=kinds, features={"age": random.normal(size=100), "kind": kinds})
    before.engine.predictions(batch)
    after.engine.restore(before.engine.snapshot()())
    moved = {"age": random.normal(size=100) + 3, "kind": kinds}
    for fed in (before, after):
        fed.engine.predictions(predictions(100, first=500, prediction=kinds, features=moved))
    one, other = await before.tell(), await after.tell()
    assert by(one, "ml.drift.score", "feature", "method") == by(other, "ml.drift.score", "feature", "method")
    assert by(other, "ml.drift.detected", "feature")["age"] == 1


def test_what_is_no_snapshot_is_refused() -> None:
    """Bytes that are something else raise `ValueError`."""
    for wrong in (b"", b"{}", b"[]", b'{"format": 2}', b'{"format": 1, "models": [{"name": 1}]}'):
        with pytest.raises(ValueError, match=r"."):
            Fed().engine.restore(wrong)


def test_settings_that_cannot_be() -> None:
    """A segment that is named twice is refused."""
    with pytest.raises(Exception, match="a segment is named twice"):
        settings("{segments: [a, a]}")


async def test_labels_that_found_their_predictions_push_none_out() -> None:
    """The bound is on labels that wait."""
    fed = Fed("{join: {max_records: 10}}")
    fed.engine.ground_truth(truths(_texts("a"), ids=[999]))
    for number in range(40):
        fed.engine.ground_truth(truths(_texts("a"), ids=[number]))
        fed.engine.predictions(predictions(1, ids=[number], prediction=_texts("a")))
    fed.engine.predictions(predictions(1, ids=[999], prediction=_texts("a")))
    found = await fed.tell()
    assert by(found, "ml.join.expired", "kind")["label"] == 0
    assert by(found, "ml.join.held", "kind")["label"] == 0


async def test_a_fault_in_one_window_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is lost, and the next is told of."""
    fed = Fed()
    fed.engine.predictions(predictions(3, prediction=_texts("a", "a", "b")))
    with monkeypatch.context() as patch:
        patch.setattr("sluiceway.ml.engine.analyse", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await fed.tell()
    fed.engine.predictions(predictions(3, ids=[10, 11, 12], prediction=_texts("a", "a", "b")))
    assert await fed.tell()


async def test_features_alone_do_not_tell_what_a_model_does() -> None:
    """With a reference of features a model of quantities is one of quantities."""
    fed = Fed()
    await fed.engine.reference([predictions(50, features={"f": np.arange(50.0)})])
    fed.engine.predictions(predictions(50, prediction=np.arange(50.0), features={"f": np.arange(50.0)}))
    fed.engine.ground_truth(truths(np.arange(50.0)))
    assert "mae" in {metric for metric, _ in by(await fed.tell(), "ml.performance", "metric", "class")}


def test_a_sliding_window_has_no_rolling_reference() -> None:
    """It would be compared with most of itself."""
    with pytest.raises(ConfigError, match="never far from itself"):
        settings("{window: {type: sliding}, reference: {type: rolling}}")
