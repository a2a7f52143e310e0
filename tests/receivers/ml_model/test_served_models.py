"""Real models behind FastAPI, their labels late in files and PostgreSQL, in a whole collector."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import random
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

from sluiceway.receivers.ml_model import COMPONENT
from sluiceway.service import Collector
from sluiceway.testing import MemorySink, check_metrics, points
from tests.ports import free_port
from tests.receivers.ml_model.bench import Points, rejected, total
from tests.servers.scored import DATA, predicted, trained

ROWS = 80
"""Rows of each model's test data that are predicted."""
CONFIG = """
    receivers:
      ml_model:
        collection_interval: 200ms
        initial_delay: 100ms
        window: {{type: sliding, size: 1h}}
        reference: {{first_n: 30}}
        segments: [half]
        files:
          predictions:
            include: ['{folder}/predictions.jsonl']
            poll_interval: 50ms
            columns: {{probability_prefix: probabilities., feature_prefix: features.}}
          tumours: {{include: ['{folder}/labels.jsonl'], records: ground_truth, poll_interval: 50ms}}
          patients: {{include: ['{folder}/*.parquet'], records: ground_truth, poll_interval: 50ms}}
        sql:
          wines:
            datasource: {database}
            query: SELECT id, prediction_id, label FROM wines WHERE id > $1 ORDER BY id
            cursor: id
            records: ground_truth
            poll_interval: 50ms
    exporters:
      memory: {{component: sluiceway.testing:MemorySink}}
    service:
      telemetry: {{metrics: {{level: none}}}}
      pipelines:
        metrics: {{receivers: [ml_model], exporters: [memory]}}
"""


async def until(sink: MemorySink, happens: Callable[[Points], Any], what: str) -> Points:
    """Wait until something holds of the last measurement."""
    deadline = time.monotonic() + 60
    while True:
        found = points(sink.batches[-1:])
        if happens(found):
            return found
        assert time.monotonic() < deadline, (what, total(found), total(found, "ml.labels"), rejected(found))
        await asyncio.sleep(0.05)


async def started(port: int) -> None:
    """Wait until the application listens."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def drive(port: int) -> None:
    """Have all rows predicted."""
    async with aiohttp.ClientSession() as session:
        for name in DATA:
            for row in range(ROWS):
                body = {"id": f"{name}-{row}", "row": row}
                async with session.post(f"http://127.0.0.1:{port}/{name}/predict", json=body) as answer:
                    assert answer.status == 200


def labels(name: str) -> list[tuple[str, Any]]:
    """The ids and labels of a model's rows, out of order."""
    truth = trained(name)[2]
    told = [(f"{name}-{row}", truth[row].item()) for row in range(ROWS)]
    random.Random(5).shuffle(told)
    return told


async def label(folder: Path, database: str, begin: int, end: int) -> None:
    """Write some of the labels: to JSON lines, to Parquet, and to PostgreSQL."""
    with (folder / "labels.jsonl").open("a") as file:
        for number, value in labels("breast_cancer")[begin:end]:
            file.write(json.dumps({"prediction_id": number, "label": value}) + "\n")
    ids, values = zip(*labels("diabetes")[begin:end], strict=True)
    pq.write_table(pa.table({"prediction_id": ids, "label": values}), folder / f"{begin}.hidden")
    (folder / f"{begin}.hidden").rename(folder / f"{begin}.parquet")
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE IF NOT EXISTS wines (id bigserial, prediction_id text, label int)")
    await connection.executemany("INSERT INTO wines (prediction_id, label) VALUES ($1, $2)", labels("wine")[begin:end])
    await connection.close()


async def measured(folder: Path, database: str) -> tuple[Points, list[Any], Collector]:
    """The last measurement when all rows were predicted and labelled, and all batches."""
    port = free_port()
    async with AsyncExitStack() as stack:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.servers.scored", str(port), str(folder / "predictions.jsonl")
        )
        stack.push_async_callback(server.wait)
        stack.callback(server.terminate)
        await label(folder, database, 0, 5)  # before they are predicted
        yaml = inspect.cleandoc(CONFIG).format(folder=folder, database=database)
        collector = await stack.enter_async_context(Collector.from_yaml(yaml))
        sink: MemorySink = collector.component("exporter", "memory")
        await started(port)
        await drive(port)
        await until(sink, lambda found: total(found) == 3 * ROWS, "predictions")
        await label(folder, database, 5, ROWS)
        found = await until(sink, lambda found: total(found, "ml.labels") == 3 * ROWS - 10, "labels")
    return found, sink.batches, collector


async def test_figures_are_those_of_scikit_learn(tmp_path: Path, database: str) -> None:
    """For two classes, three classes and quantities, to 1e-9, in all and by segment; and nothing is missing."""
    found, batches, collector = await measured(tmp_path, database)
    figures = {
        (a["ml.model.name"], a.get("segment", ""), a["metric"]): point["value"]
        for point in found["ml.performance"]
        if "class" not in (a := point["attributes"])
    }
    for (name, segment, figure), expected in wanted().items():
        assert figures[name, segment, figure] == pytest.approx(expected, rel=1e-9, abs=1e-9), (name, segment, figure)
    assert rejected(found) == {}
    check_metrics(COMPONENT, batches)
    assert [balance.missing for balance in collector.ledger.balances()] == [0]
    (count,) = {point["point"].count for point in found["ml.inference.duration"]}
    assert count == ROWS


def wanted() -> dict[tuple[str, str, str], float]:
    """What scikit-learn says, by model, segment and figure."""
    found: dict[tuple[str, str, str], float] = {}
    for name in DATA:
        # labels of the first five that stood in files at the start are not read: `start_at: end`
        early = {number for number, _ in labels(name)[:5]} if name != "wine" else set()
        rows = [row for row in range(ROWS) if f"{name}-{row}" not in early]
        for segment, chosen in (
            ("", rows),
            ("half=first", [row for row in rows if row % 2 == 0]),
            ("half=second", [row for row in rows if row % 2]),
        ):
            truth = trained(name)[2][chosen]
            said = [predicted(name, row) for row in chosen]
            figures = FIGURES[name](truth, said)
            found.update({(name, segment, figure): value for figure, value in figures.items()})
    return found


def two_classes(truth: Any, said: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of a model with a score."""
    classes, scores = [one["prediction"] for one in said], np.array([one["score"] for one in said])
    return {
        "accuracy": metrics.accuracy_score(truth, classes),
        "precision": metrics.precision_score(truth, classes),
        "recall": metrics.recall_score(truth, classes),
        "f1": metrics.f1_score(truth, classes),
        "roc_auc": metrics.roc_auc_score(truth, scores),
        "average_precision": metrics.average_precision_score(truth, scores),
        "log_loss": metrics.log_loss(truth, scores),
        "brier_score": metrics.brier_score_loss(truth, scores),
    }


def three_classes(truth: Any, said: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of a model with a probability for each class."""
    classes = [one["prediction"] for one in said]
    shares = np.array([[one["probabilities"][number] for number in "012"] for one in said])
    return {
        "accuracy": metrics.accuracy_score(truth, classes),
        "precision_macro": metrics.precision_score(truth, classes, average="macro"),
        "recall_macro": metrics.recall_score(truth, classes, average="macro"),
        "f1_macro": metrics.f1_score(truth, classes, average="macro"),
        "f1_micro": metrics.f1_score(truth, classes, average="micro"),
        "log_loss": metrics.log_loss(truth, shares),
    }


def quantities(truth: Any, said: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of a regression."""
    values = [one["prediction"] for one in said]
    return {
        "mae": metrics.mean_absolute_error(truth, values),
        "rmse": math.sqrt(metrics.mean_squared_error(truth, values)),
        "mape": metrics.mean_absolute_percentage_error(truth, values),
        "r2": metrics.r2_score(truth, values),
    }


FIGURES = {"breast_cancer": two_classes, "wine": three_classes, "diabetes": quantities}
