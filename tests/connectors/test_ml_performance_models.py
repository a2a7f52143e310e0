"""`ml_performance` behind real models: its figures are those that scikit-learn gives for what was served."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import urllib.request
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from sluiceway.service import Collector
from sluiceway.testing.emitted import points
from tests.ports import free_port

CONFIG = """
receivers:
  otlp: {protocols: {http: {endpoint: 'localhost:0'}}}
connectors:
  ml_performance: {segments: [half], reference: {first_n: 40}}
exporters:
  memory: {component: sluiceway.testing:MemorySink}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [otlp], exporters: [ml_performance]}
    metrics: {receivers: [ml_performance], exporters: [memory]}
"""
SERVED = 80
MODELS = ("breast_cancer", "wine", "diabetes")


def ask(url: str, body: Any = None) -> Any:
    """The answer to a request, which must be a 200."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def drive(url: str) -> None:
    """Have rows predicted, some labelled before; then the labels of all, shuffled, and some of them twice."""
    from tests.servers.models import trained

    labels = []
    for name in MODELS:
        truth = trained(name)[2]
        told = [{"id": f"{name}-{row}", "label": truth[row].item()} for row in range(SERVED)]
        assert ask(f"{url}/labels", told[-5:]) is None
        for row in range(SERVED):
            ask(f"{url}/{name}/predict", {"id": f"{name}-{row}", "row": row})
        labels += told
    random.Random(3).shuffle(labels)
    assert ask(f"{url}/labels", labels + labels[:20]) is None
    assert ask(f"{url}/flush") is True


async def started(port: int, server: asyncio.subprocess.Process) -> None:
    """Wait until the application listens."""
    async with asyncio.timeout(60):
        while True:
            assert server.returncode is None
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def serve() -> dict[str, list[dict[str, Any]]]:
    """Serve with a whole collector beside; give the points that it made."""
    port = free_port()
    async with Collector.from_yaml(CONFIG) as collector:
        host, http_port = collector.component("receiver", "otlp").http_address
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}:{http_port}"}
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.servers.models", str(port), env=environment
        )
        try:
            await started(port, server)
            await asyncio.to_thread(drive, f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            await server.wait()
        sink = collector.component("exporter", "memory")
    assert not [balance for balance in collector.ledger.balances() if balance.missing]
    return points(sink.batches)


@pytest.fixture(scope="module")
def served() -> dict[str, list[dict[str, Any]]]:
    """What the collector told of the models."""
    return asyncio.run(serve())


def told(served: dict[str, list[dict[str, Any]]], name: str, model: str) -> Iterator[dict[str, Any]]:
    """The points of a metric that are of one model."""
    return (point for point in served[name] if point["attributes"].get("ml.model.name") == model)


def performance(served: Any, model: str, segment: str = "", by_class: str = "") -> dict[str, float]:
    """The figures of a model by name."""
    return {
        point["attributes"]["metric"]: point["value"]
        for point in told(served, "ml.performance", model)
        if (point["attributes"].get("segment", ""), point["attributes"].get("class", "")) == (segment, by_class)
    }


def expected(name: str, rows: slice) -> dict[str, float]:
    """What scikit-learn says of the rows that were served."""
    from tests.servers.models import trained

    model, rest, truth, _ = trained(name)
    x, y = rest[:SERVED][rows], truth[:SERVED][rows]
    # Row by row, as it was served: a product of matrices rounds otherwise than those of its rows.
    predicted = np.concatenate([model.predict(row[None]) for row in x])
    if name == "diabetes":
        return {
            "mae": metrics.mean_absolute_error(y, predicted),
            "rmse": metrics.root_mean_squared_error(y, predicted),
            "mape": metrics.mean_absolute_percentage_error(y, predicted),
            "r2": metrics.r2_score(y, predicted),
        }
    shares = np.concatenate([model.predict_proba(row[None]) for row in x])
    found = {"accuracy": metrics.accuracy_score(y, predicted), "log_loss": metrics.log_loss(y, shares)}
    for figure in ("precision", "recall", "f1"):
        score = getattr(metrics, f"{figure}_score")
        found |= {f"{figure}_{average}": score(y, predicted, average=average) for average in ("macro", "micro")}
    if name == "wine":
        found |= {
            "roc_auc": metrics.roc_auc_score(y, shares, multi_class="ovr"),
            "average_precision": metrics.average_precision_score(y, shares),
            "brier_score": metrics.brier_score_loss(y, shares),
        }
    else:
        positive = shares[:, 1]
        found |= {
            "precision": metrics.precision_score(y, predicted),
            "recall": metrics.recall_score(y, predicted),
            "f1": metrics.f1_score(y, predicted),
            "roc_auc": metrics.roc_auc_score(y, positive),
            "average_precision": metrics.average_precision_score(y, positive),
            "brier_score": metrics.brier_score_loss(y, positive),
        }
    return found


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("segment", "rows"), [("", slice(None)), ("half=first", slice(0, None, 2))])
def test_figures_are_those_of_scikit_learn(served: Any, model: str, segment: str, rows: slice) -> None:
    """With labels early, late, out of order and twice; for all records and for a segment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = expected(model, rows)
    found = performance(served, model, segment)
    found.pop("calibration_error", None)
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_figures_of_classes_are_those_of_scikit_learn(served: Any) -> None:
    """Each class of a model of three has its own precision, recall and F1."""
    from tests.servers.models import trained

    model, rest, truth, _ = trained("wine")
    predicted = model.predict(rest[:SERVED])
    wanted = metrics.precision_recall_fscore_support(truth[:SERVED], predicted)
    for number in range(3):
        found = performance(served, "wine", by_class=str(number))
        assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(
            [part[number] for part in wanted[:3]]
        )


@pytest.mark.parametrize("model", MODELS)
def test_counts_are_those_that_were_served(served: Any, model: str) -> None:
    """Each prediction counts once and each label once, and every inference has its time."""
    for name in ("ml.predictions", "ml.labels"):
        assert [point["value"] for point in told(served, name, model)] == [SERVED]
    (durations,) = told(served, "ml.inference.duration", model)
    assert durations["point"].count == SERVED
    (delays,) = told(served, "ml.label.delay", model)
    assert delays["point"].count == SERVED
    assert [point["value"] for point in told(served, "ml.label.coverage.ratio", model)] == [1.0]


def test_what_came_twice_is_counted(served: Any) -> None:
    """The first five of each model came before their predictions, twenty were sent again."""
    rejected = {point["attributes"]["reason"]: point["value"] for point in served["ml.records.rejected"]}
    assert rejected == {"duplicate": 3 * 5 + 20}


@pytest.mark.parametrize("model", MODELS)
def test_drift_is_what_scipy_says(served: Any, model: str) -> None:
    """Kolmogorov-Smirnov and Wasserstein of the first 40 rows and those after them, for every feature."""
    from tests.servers.models import trained

    _, rest, _, features = trained(model)
    assert features
    for place, feature in enumerate(features):
        before, after = rest[:40, place], rest[40:SERVED, place]
        found = {
            (name, point["attributes"]["method"]): point["value"]
            for name in ("ml.drift.score", "ml.drift.p_value")
            for point in told(served, name, model)
            if point["attributes"].get("feature") == feature
        }
        test = stats.ks_2samp(before, after, method="asymp")
        assert found["ml.drift.score", "ks"] == pytest.approx(test.statistic, abs=1e-9)
        assert found["ml.drift.p_value", "ks"] == pytest.approx(test.pvalue, abs=1e-9)
        moved = stats.wasserstein_distance(before, after) / before.std()
        assert found["ml.drift.score", "wasserstein"] == pytest.approx(moved, abs=1e-9)
