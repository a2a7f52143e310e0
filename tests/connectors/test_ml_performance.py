"""`ml_performance` in a whole collector, and what is lost, kept and counted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self

import numpy as np

from sluiceway.component import Context, Kind, Reason, Status
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.connectors.ml_performance import COMPONENT, MlPerformance, MlPerformanceConfig
from sluiceway.errors import RefusedError
from sluiceway.extensions.file_storage import COMPONENT as STORAGE
from sluiceway.extensions.file_storage import FileStorage
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.stanza import Entry, encode
from sluiceway.testing import ManualClock, MemorySink, check_metrics, points
from sluiceway.testing.clock import settle
from sluiceway.testing.conformance import settings

SETTINGS = "{segments: [country], window: {size: 60s, min_records: 5}, reference: {first_n: 30}}"


def _record(event: str, **attributes: Any) -> Entry:
    entry = Entry("", 10**18, {name.replace("__", "."): value for name, value in attributes.items()}, {})
    entry.event_name = event
    return entry


def predicted(number: int, *, label: Any = "a", **more: Any) -> Entry:
    """A prediction of the model `m`."""
    return _record("ml.prediction", **{
        "ml.model.name": "m", "ml.prediction.id": f"id-{number}", "ml.prediction.label": label, **more,
    })  # fmt: skip


def truth(number: int, label: Any = "a") -> Entry:
    """What prediction `number` should have been."""
    return _record("ml.ground_truth", **{"ml.prediction.id": f"id-{number}", "ml.ground_truth.label": label})


def batch(*entries: Entry) -> Batch:
    """Records as a batch."""
    return Batch(Signal.LOGS, encode(list(entries)), len(entries), Origin())


class Bench:
    """The connector's halves, one for metrics and one for logs, each with a sink of its own."""

    def __init__(self, yaml: str = SETTINGS, storage: FileStorage | None = None) -> None:
        self.storage = storage
        self.clock = ManualClock()
        self.metrics, self.logs = MemorySink(), MemorySink()
        self.dropped: list[tuple[int, Reason]] = []
        self.statuses: list[tuple[Status, str]] = []
        config = decode(MlPerformanceConfig, parse(yaml, "ml.yaml"))
        shared: dict[str, Any] = {}
        self.halves = [self._half(config, signal, sink, shared) for signal, sink in (
            (Signal.METRICS, self.metrics), (Signal.LOGS, self.logs),
        )]  # fmt: skip

    def _half(self, config: Any, gives: Signal, sink: MemorySink, shared: dict[str, Any]) -> MlPerformance:
        context = Context(
            "ml_performance",
            Kind.CONNECTOR,
            frozenset({Signal.LOGS}),
            clock=self.clock,
            gives=gives,
            shared=shared,
            extension=lambda _: self.storage,
            drop=lambda items, reason, **_: self.dropped.append((items, reason)),
            report=lambda status, text="": self.statuses.append((status, text)),
        )
        return MlPerformance(config, context, sink)

    async def __aenter__(self) -> Self:
        for half in self.halves:
            await half.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for half in reversed(self.halves):  # as the service leaves them
            await half.__aexit__(None, None, None)

    async def take(self, *entries: Entry) -> None:
        """Both halves are given the batch, as a pipeline gives it to each."""
        for half in self.halves:
            await half.consume(batch(*entries))

    async def minute(self) -> dict[str, list[dict[str, Any]]]:
        """Let a minute pass; the points that came with it."""
        before = len(self.metrics.batches)
        await self.clock.advance(60)
        async with asyncio.timeout(30):
            while len(self.metrics.batches) == before:  # statistics are made in a thread
                await settle()
        return points(self.metrics.batches[before:])


def _values(found: dict[str, list[dict[str, Any]]], name: str, key: str) -> dict[str, float]:
    return {point["attributes"].get(key, ""): point["value"] for point in found.get(name, [])}


async def test_records_are_counted_once() -> None:
    """Both halves see a batch, and it counts once; records of other kinds are passed over."""
    async with Bench() as bench:
        other = _record("something.else")
        await bench.take(*(predicted(number) for number in range(10)), other, *(truth(number) for number in range(10)))
        found = await bench.minute()
    assert [point["value"] for point in found["ml.predictions"]] == [10]
    assert [point["value"] for point in found["ml.labels"]] == [10]
    assert _values(found, "ml.performance", "metric")["accuracy"] == 1.0


async def test_drift_becomes_log_records() -> None:
    """Drift is told by a log record when it begins, in pipelines for logs."""
    random = np.random.default_rng(0)
    async with Bench() as bench:
        for first, shift in ((0, 0.0), (30, 5.0)):
            values = random.normal(size=30) + shift
            await bench.take(
                *(predicted(first + at, **{"ml.feature.age": value}) for at, value in enumerate(values.tolist()))
            )
        await bench.minute()
        await settle()
    (record,) = [
        record
        for made in bench.logs.batches
        for resource in made.proto().resource_logs  # type: ignore[attr-defined]
        for scope in resource.scope_logs
        for record in scope.log_records
        if record.event_name == "ml.drift"
    ]
    about = {entry.key: entry.value.string_value for entry in record.attributes}
    assert (about["ml.drift.feature"], about["ml.drift.state"], about["ml.drift.method"]) == ("age", "began", "ks")


def _ages(first: int, shift: float) -> list[Entry]:
    values = np.random.default_rng(first).normal(size=30) + shift
    return [predicted(first + at, **{"ml.feature.age": value}) for at, value in enumerate(values.tolist())]


async def test_a_restart_keeps_what_is_usual(tmp_path: Path) -> None:
    """With a storage drift is found in the first window after a restart; one that holds something else is told of."""
    yaml = SETTINGS.replace("{segments", "{storage: file_storage, segments")
    storage = FileStorage(
        settings(STORAGE, f"extensions: {{file_storage: {{directory: '{tmp_path}/s'}}}}"),
        Context("file_storage", Kind.EXTENSION),
    )
    async with storage:
        async with Bench(yaml, storage) as bench:
            await bench.take(*_ages(0, 0.0))
            await bench.minute()
        for _ in range(2):  # what was not seen meanwhile is kept too
            async with Bench(yaml, storage):
                pass
        async with Bench(yaml, storage) as bench:
            await bench.take(*_ages(30, 5.0))
            found = await bench.minute()
        assert _values(found, "ml.drift.detected", "feature")["age"] == 1
        async with storage.client(Context("ml_performance", Kind.CONNECTOR)) as client:
            await client.set("references", b"something else")
        async with Bench(yaml, storage) as bench:
            await bench.take(*_ages(60, 5.0))
            assert "ml.drift.detected" not in await bench.minute()


async def test_what_breaks_the_contract_costs_itself() -> None:
    """Records without what they need, or with something else in its place, are counted by reason."""
    async with Bench() as bench:
        nothing = _record("ml.prediction", **{"ml.model.name": "m", "ml.prediction.id": "x"})
        no_label = _record("ml.ground_truth", **{"ml.prediction.id": "x"})
        no_id = _record("ml.ground_truth", **{"ml.ground_truth.label": "a"})
        odd_name = _record("ml.prediction", **{"ml.model.name": ["m"], "ml.prediction.label": "a"})
        slow = predicted(1, **{"ml.inference.duration": -1.0})
        await bench.take(nothing, no_label, no_id, odd_name, slow, predicted(2))
        found = await bench.minute()
    reasons = _values(found, "ml.records.rejected", "reason")
    assert reasons == {"no_prediction": 1, "no_label": 1, "no_id": 1, "bad_number": 1, "duplicate": 0}
    assert _values(found, "ml.predictions", "ml.model.name")["m"] == 1


async def test_models_of_one_batch_do_not_mix() -> None:
    """A model that tells scores, one that tells probabilities, and one of quantities, in one batch."""
    entries = []
    for number in range(40):
        right = number % 2
        for model, more in (
            ("scores", {"ml.prediction.score": 0.9 if right else 0.1}),
            ("shares", {"ml.prediction.probability.0": 0.2, "ml.prediction.probability.1": 0.8}),
            ("numbers", {"ml.prediction.label": 1.5}),
        ):
            about = {"ml.model.name": model, "ml.prediction.id": f"{model}-{number}", **more}
            entries.append(_record("ml.prediction", **about))
            label = 2.0 if model == "numbers" else right
            entries.append(
                _record("ml.ground_truth", **{"ml.prediction.id": f"{model}-{number}", "ml.ground_truth.label": label})
            )
    async with Bench() as bench:
        await bench.take(*entries)
        found = await bench.minute()
    figures = {
        (point["attributes"]["ml.model.name"], point["attributes"]["metric"]): point["value"]
        for point in found["ml.performance"]
        if "class" not in point["attributes"]
    }
    assert figures["scores", "accuracy"] == 1.0
    assert figures["shares", "accuracy"] == 0.5
    assert figures["numbers", "mae"] == 0.5


async def test_metrics_that_are_refused() -> None:
    """Metrics that are refused are told with the next flush; the status says so until they are taken again."""
    async with Bench() as bench:
        await bench.take(predicted(1))
        bench.metrics.error = RefusedError("full")
        calls = bench.metrics.calls
        await bench.clock.advance(60)
        async with asyncio.timeout(30):
            while bench.metrics.calls == calls:
                await settle()
        assert bench.statuses[-1] == (Status.RECOVERABLE_ERROR, "what was sent was refused: full")
        bench.metrics.error = None
        found = await bench.minute()
        assert bench.statuses[-1] == (Status.OK, "")
    assert [point["value"] for point in found["ml.predictions"]] == [1]


async def test_the_last_window_is_sent() -> None:
    """Stopping closes the window and sends what it shows; without records nothing is sent."""
    async with Bench() as bench:
        await bench.take(*(predicted(number) for number in range(10)), *(truth(number) for number in range(10)))
    assert _values(points(bench.metrics.batches), "ml.performance", "metric")["accuracy"] == 1.0
    async with Bench() as idle:
        pass
    assert idle.metrics.calls == idle.logs.calls == 0


async def test_every_metric_is_declared_and_emitted() -> None:
    """What is declared is emitted, as it was declared."""
    random = np.random.default_rng(0)
    async with Bench() as bench:
        for first, shift in ((0, 0.0), (2000, 5.0)):
            made = [
                predicted(first + at, **{
                    "ml.prediction.score": min(max(value / 20 + shift / 10, 0.0), 1.0), "ml.feature.age": value + shift,
                    "ml.feature.kind": "x", "ml.inference.duration": 0.1, "country": "nl",
                })
                for at, value in enumerate(random.normal(size=2000).tolist())
            ]  # fmt: skip
            wrong = [truth(first + at, "b" if shift or at % 9 == 0 else "a") for at in range(2000)]
            await bench.take(*made, *wrong, predicted(9999, **{"error.type": "timeout"}))
        await bench.minute()
    assert check_metrics(COMPONENT, bench.metrics.batches) == set()
